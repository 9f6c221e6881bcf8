"""`pidsupctl logs` where output goes to the journal: journalctl, with the right filter.

journalctl(1) takes matches: those of one field are alternatives, those of several fields
hold together, and "+" separates alternatives of such sets.
"""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatchcase

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import FAILED, NO_SUCH_NAME, NOT_RUNNING, USAGE, Complaint
from pidsup.cli.ctl.values import ALL
from pidsup.client import Client
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINES = 30  # as of what is kept in memory
_OWN = "pidsup"  # SYSLOG_IDENTIFIER of what the supervisor says
#: -o of ours -> journalctl's; what a field holds is never left out for its length.
_OUTPUTS = {"prefixed": [], "plain": ["--output=cat", "--all"], "json": ["--output=json", "--all"]}


class Matches:
    """Whose entries are wanted: those of one supervisor, as type Journal describes it."""

    def __init__(self, journal: Message, supervisor: str) -> None:
        """Take the journal, and the name of the supervisor."""
        self.namespace: str | None = journal["namespace"]
        self._supervisor = supervisor
        self._unit: str | None = journal["unit"]
        self._user: int | None = journal["user"]

    def all(self, slots: Sequence[str]) -> list[str]:
        """Match everything: what the unit's workers, the supervisor and systemd say."""
        if self._user is None and self._unit is not None:
            return [f"--unit={self._unit}"]
        sets = [self._of_unit(), [f"SYSLOG_IDENTIFIER={_OWN}", f"PIDSUP_NAME={self._supervisor}"]]
        if self._user is not None:
            sets.append([f"_UID={self._user}", f"USER_UNIT={self._unit}"])
        return _alternatives([*sets, self._of_output(slots)])

    def output(self, slots: Sequence[str]) -> list[str]:
        """Match what slots have written."""
        return self._of_output(slots)

    def some(self, slots: Sequence[str], watchers: Sequence[str]) -> list[str]:
        """Match what slots have written, and what the supervisor says of them and of watchers."""
        own = [f"SYSLOG_IDENTIFIER={_OWN}", f"PIDSUP_NAME={self._supervisor}"]
        about = [
            [*own, *(f"PIDSUP_SLOT={name}" for name in slots)] if slots else [],
            [*own, *(f"PIDSUP_WATCHER={name}" for name in watchers)] if watchers else [],
        ]
        return _alternatives([self._of_output(slots), *about])

    def _of_unit(self) -> list[str]:
        if self._unit is None:
            return []
        if self._user is None:
            return [f"_SYSTEMD_UNIT={self._unit}"]
        return [f"_UID={self._user}", f"_SYSTEMD_USER_UNIT={self._unit}"]

    def _of_output(self, slots: Sequence[str]) -> list[str]:
        if not slots:
            return []
        # What a process of a user wrote just before its end has no unit in the journal:
        # journald reads it later, and takes only root's word for what it was.
        where = self._of_unit() if self._user is None else [f"_UID={self._user}"]
        return [*where, *(f"SYSLOG_IDENTIFIER={name}" for name in slots)]


def _alternatives(sets: Iterable[list[str]]) -> list[str]:
    found: list[str] = []
    for one in filter(None, sets):
        found += ["+", *one] if found else one
    return found


# --- what was asked for


def options(given: Given) -> list[str]:
    """Return the options of journalctl that mean what was asked for."""
    words = list(_OUTPUTS.get(given.output, [f"--output={given.output}"]))
    limits = [
        f"--{name}=@{instant:.6f}"
        for name, instant in (("since", given.since), ("until", given.until))
        if instant is not None
    ]
    if given.grep is not None:
        limits.append(f"--grep={given.grep}")
    if given.lines is not None:
        words.append(f"--lines={'all' if given.lines == ALL else given.lines}")
    elif not limits and not given.passed:
        words.append(f"--lines={_LINES}")
    words += limits
    if given.priority is not None:
        words.append(f"--priority={given.priority}")
    switches = ("follow", "reverse", "catalog", "no_pager", "utc")
    words += [f"--{name.replace('_', '-')}" for name in switches if getattr(given, name)]
    return [*words, *given.passed]


def show(given: Given, client: Client, status: Message, *, whole: bool) -> int:
    """Become journalctl, for the watchers of type Status; *whole*: for all of them."""
    matches = Matches(status["journal"], status["name"])
    chosen = [slot["name"] for watcher in status["watchers"] for slot in watcher["slots"]]
    bare = given.output == "plain" or given.stream is not None
    if whole and not bare:
        words = matches.all(chosen)
    else:
        watchers = [watcher["name"] for watcher in status["watchers"]]
        found = slots_in_journal(given, matches, given.selectors or watchers)
        slots = [*chosen, *(name for name in found if name not in chosen)]
        about = _whole_watchers(given.selectors, [*watchers, *map(_watcher_of, slots)])
        words = matches.output(slots) if bare else matches.some(slots, about)
    client.close()
    return become(given, matches, [*options(given), *words])


def _whole_watchers(selectors: Sequence[str], watchers: Sequence[str]) -> list[str]:
    """Return the watchers that are selected as such, not by slots."""
    patterns = [selector for selector in selectors if ":" not in selector]
    return [
        name
        for name in dict.fromkeys(watchers)
        if not selectors or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _watcher_of(slot: str) -> str:
    return slot.rpartition(":")[0]


def slots_in_journal(given: Given, matches: Matches, selectors: Sequence[str]) -> list[str]:
    """Return the slots that have ever written, of those selected: the gone ones, too."""
    found = []
    for name in fields(given, "SYSLOG_IDENTIFIER", matches.namespace):
        watcher, colon, index = name.rpartition(":")
        if not colon or not index.isdecimal():
            continue
        for selector in selectors:
            if fnmatchcase(name if ":" in selector else watcher, selector):
                found.append(name)
                break
    return sorted(found, key=lambda name: (_watcher_of(name), int(name.rpartition(":")[2])))


# --- journalctl


def command(given: Given, namespace: str | None, words: Sequence[str]) -> list[str]:
    """Return the command of journalctl, where the supervisor is."""
    whole = ["journalctl", *([f"--namespace={namespace}"] if namespace else []), *words]
    if not given.host:
        return whole
    from pidsup.cli.ctl.ssh import remote

    return remote(given.host, whole)


def fields(given: Given, name: str, namespace: str | None) -> list[str]:
    """Return the values that a field has in the journal; [] where nobody tells."""
    import subprocess

    words = command(given, namespace, ["--quiet", "--no-pager", f"--field={name}"])
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603  journalctl, or the user's own ssh
    except OSError:
        return []
    return done.stdout.decode(errors="replace").splitlines()


def become(given: Given, matches: Matches, words: Sequence[str]) -> int:
    """Become journalctl: all that it says and does is its own, and so is the exit code."""
    import signal

    if given.color != "auto":
        os.environ["SYSTEMD_COLORS"] = "1" if given.color == "always" else "0"
    program = command(given, matches.namespace, words)
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would journalctl
    try:
        os.execvp(program[0], program)  # noqa: S606  journalctl, or the user's own ssh
    except OSError as error:
        raise Complaint(f"cannot run {program[0]}: {error.strerror}", FAILED) from error


# --- where no supervisor runs


def of_the_past(given: Given, why: Exception) -> int:
    """Show what the supervisor has left in the journal, once it does not run any more."""
    complaint = Complaint(str(why), NOT_RUNNING)
    if given.host or given.socket or str(why).startswith("several"):
        raise complaint
    known = fields(given, "PIDSUP_NAME", "*")
    if given.name is None and len(known) > 1:
        raise Complaint(f"{why}; the journal knows, choose by -n: {', '.join(known)}", NOT_RUNNING)
    name = given.name or next(iter(known), None)
    if name is None or name not in known:
        raise complaint
    matches = Matches(_last_journal(given, name), name)
    slots = slots_in_journal(given, matches, given.selectors or ["*"])
    if given.selectors and not slots:
        text = f"nothing of {', '.join(given.selectors)} is in the journal, and {why}"
        raise Complaint(text, NO_SUCH_NAME)
    print(f"pidsupctl: {name} does not run; this is of the journal", file=sys.stderr)
    whole = _whole_watchers(given.selectors, list(map(_watcher_of, slots)))
    bare = given.output == "plain"
    words = matches.output(slots) if bare else matches.some(slots, whole)
    if not given.selectors and not bare:
        words = matches.all(slots)
    return become(given, matches, [*options(given), *words])


def _last_journal(given: Given, name: str) -> Message:
    """Return type Journal as the last entry of that supervisor tells it."""
    import json
    import subprocess

    about = [f"SYSLOG_IDENTIFIER={_OWN}", f"PIDSUP_NAME={name}"]
    words = command(given, "*", ["--quiet", "--no-pager", "--lines=1", "--output=json", *about])
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603  journalctl
    entry = json.loads(done.stdout or "{}")
    is_users = "_SYSTEMD_USER_UNIT" in entry
    return {
        "unit": entry.get("_SYSTEMD_USER_UNIT" if is_users else "_SYSTEMD_UNIT"),
        "user": int(entry["_UID"]) if is_users else None,
        "namespace": entry.get("_NAMESPACE"),
    }


# --- what is asked for in vain


def refuse_what_only_journalctl_can(given: Given) -> None:
    """Complain of options that mean nothing for what is kept in memory."""
    asked = {
        "--priority": given.priority is not None,
        "--until": given.until is not None,
        "--grep": given.grep is not None,
        "--reverse": given.reverse,
        "--catalog": given.catalog,
        "--no-pager": given.no_pager,
        f"-o {given.output}": given.output not in _OUTPUTS,
        f"-- {' '.join(given.passed)}": bool(given.passed),
    }
    useless = [option for option, is_asked in asked.items() if is_asked]
    if useless:
        text = f"{useless[0]} is for output in the journal; this is kept by the supervisor itself"
        raise Complaint(text, USAGE)


def refuse_one_stream(watchers: Sequence[Message]) -> None:
    """Complain of --stream where the journal has both streams in one."""
    for watcher in watchers:
        if watcher["kept"]["stdout"] == watcher["kept"]["stderr"] == "journal":
            raise Complaint(
                f"--stream: stdout and stderr of {watcher['name']} are one stream in the journal; "
                "leave it out, or try --priority",
                USAGE,
            )
