"""What this process may do for its workers, and what a watcher needs: capabilities(7)."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pidsup.config.process_kinds import CAPABILITIES, RLIMITS

_REALTIME = 1  # IOPRIO_CLASS_RT, ioprio_set(2)
_REMEDY = "run pidsup as root, or remove it"


class Rights(NamedTuple):
    """What a process may do."""

    uid: int
    gids: frozenset[int]
    capabilities: int  #: the effective set
    nice: int  #: the lowest that it may set
    oom_score_adjust: int
    hard_limits: Mapping[int, int]  #: of resources; -1: infinity

    @property
    def is_root(self) -> bool:
        """Whether it may do what root may do with files and users."""
        return self.uid == 0

    def has(self, capability: str) -> bool:
        """Tell whether a capability is effective."""
        return bool(self.capabilities >> CAPABILITIES.index(capability) & 1)

    def is_user(self, user: str) -> bool:
        """Tell whether this is the user that it runs as, by name or number."""
        try:
            return self.uid == (int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid)
        except KeyError:
            return False


def rights() -> Rights:
    """Return those of this process."""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    by_limit = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]  # getrlimit(2), RLIMIT_NICE
    return Rights(
        uid=os.geteuid(),
        gids=frozenset({os.getegid(), *os.getgroups()}),
        capabilities=_effective(),
        nice=min(nice, by_limit),
        oom_score_adjust=_oom_score_adjust(),
        hard_limits={number: resource.getrlimit(number)[1] for number in RLIMITS.values()},
    )


def _oom_score_adjust() -> int:
    try:
        with open("/proc/self/oom_score_adj", encoding="ascii") as file:
            return int(file.read())
    except OSError:  # no /proc
        return 0


def _effective() -> int:
    """Return our effective capabilities; without /proc those that our user has as a rule."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    except OSError:
        return 0 if os.geteuid() else (1 << len(CAPABILITIES)) - 1


def lacking(values: Mapping[str, Any], mine: Rights) -> Iterator[tuple[str, str]]:
    """Yield the options of a watcher that this process may not grant, and why."""
    yield from _lacking_identity(values, mine)
    yield from _lacking_priority(values, mine)
    if not mine.has("sys_resource"):
        yield from _lacking_limits(values, mine)
    if values["capability_bounding_set"] is not None and not mine.has("setpcap"):
        yield "capability_bounding_set", f"needs the capability setpcap: {_REMEDY}"
    missing = values["ambient_capabilities"] & ~mine.capabilities
    if missing:
        names = [name for i, name in enumerate(CAPABILITIES) if missing >> i & 1]
        yield "ambient_capabilities", f"pidsup itself does not have {', '.join(names)}: {_REMEDY}"


def _lacking_identity(values: Mapping[str, Any], mine: Rights) -> Iterator[tuple[str, str]]:
    user, group, more = values["user"], values["group"], values["supplementary_groups"]
    if user is not None and not mine.has("setuid") and not mine.is_user(user):
        yield "user", f"needs root: {_REMEDY}"
    for key, given in (("group", group), ("supplementary_groups", more)):
        if given and not mine.has("setgid"):
            yield key, f"needs root: {_REMEDY}"


def _lacking_priority(values: Mapping[str, Any], mine: Rights) -> Iterator[tuple[str, str]]:
    nice, score = values["nice"], values["oom_score_adjust"]
    if nice is not None and nice < mine.nice and not mine.has("sys_nice"):
        yield "nice", f"is below {mine.nice}, which needs root: {_REMEDY}"
    if values["io_scheduling_class"] == _REALTIME and not (
        mine.has("sys_nice") or mine.has("sys_admin")
    ):
        yield "io_scheduling_class", f"realtime needs root: {_REMEDY}"
    if score is not None and score < mine.oom_score_adjust and not mine.has("sys_resource"):
        yield "oom_score_adjust", f"is below {mine.oom_score_adjust}, which needs root: {_REMEDY}"


def _lacking_limits(values: Mapping[str, Any], mine: Rights) -> Iterator[tuple[str, str]]:
    for which, _, hard in values["rlimits"]:
        mine_hard = mine.hard_limits[which]
        if mine_hard != -1 and (hard == -1 or hard > mine_hard):
            name = next(name for name, number in RLIMITS.items() if number == which)
            yield "rlimits", f"{name} is above pidsup's own hard limit, {mine_hard}: {_REMEDY}"
