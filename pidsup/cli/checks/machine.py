"""What only this machine can say of a configuration: users, programs, directories, rights.

`pidsup check` takes these for errors.  `pidsup run` starts all the same: what is
missing may be there by the time it is needed, and until then the slot says so.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from typing import Any

from pidsup.cli.checks.access import Identity, Question, answers
from pidsup.cli.checks.rights import Rights, lacking, rights
from pidsup.config.expand import fill, names_in
from pidsup.config.kind import Path, Wrong
from pidsup.config.model import Attributes
from pidsup.config.problem import Findings
from pidsup.config.process_kinds import CAPABILITIES, processors
from pidsup.linux.spawn import DEFAULT_PATH
from pidsup.systemd.journal import DIRECTORY
from pidsup.watcher.plan import credentials, socket_numbers

_JOURNALD = f"{DIRECTORY}/stdout"
#: With these, permissions of files do not count: capabilities(7).
_PASS = sum(1 << CAPABILITIES.index(name) for name in ("dac_override", "dac_read_search"))


def check(expanded: Mapping[str, Any], findings: Findings, mine: Rights | None = None) -> None:
    """Note what would keep watchers and sockets from starting, here and now.

    *mine* is what the supervisor may do: by default, what this process may.
    """
    mine = mine or rights()
    for role, members in expanded["control"].items():
        for i, member in enumerate(members):
            _check_account(("control", role, i), member, findings)
    for name, values in expanded["sockets"].items():
        _check_socket(name, values, mine, findings)
    for name, values in expanded["watchers"].items():
        _check_accounts(("watchers", name), values, findings)
        for key, text in lacking(values, mine):
            findings.error(("watchers", name, key), text)
        _check_processors(("watchers", name), values, findings)
        _check_files(("watchers", name), values, _slots(name, values), findings)


# --- users and groups


def _check_accounts(path: Path, values: Mapping[str, Any], findings: Findings) -> None:
    if values["user"] is not None:
        _check_account((*path, "user"), values["user"], findings)
    if values["group"] is not None:
        _check_account((*path, "group"), f"@{values['group']}", findings)
    for i, group in enumerate(values.get("supplementary_groups", ())):
        _check_account((*path, "supplementary_groups", i), f"@{group}", findings)


def _check_account(path: Path, account: str, findings: Findings) -> None:
    """Check a user, or a group behind an @; a number needs no entry."""
    what, name = ("group", account[1:]) if account.startswith("@") else ("user", account)
    if name.isdecimal():
        return
    try:
        grp.getgrnam(name) if what == "group" else pwd.getpwnam(name)
    except KeyError:
        findings.error(path, f"there is no {what} {name!r}: create it or correct the name")


# --- sockets


def _check_socket(name: str, values: Mapping[str, Any], mine: Rights, findings: Findings) -> None:
    path = ("sockets", name)
    _check_accounts(path, values, findings)
    listen = values["listen"] or ""
    if listen.startswith("/"):
        _check_directory((*path, "listen"), os.path.dirname(listen), findings)
        if values["user"] is not None and not mine.is_user(values["user"]) and not mine.is_root:
            findings.error((*path, "user"), "needs root: run pidsup as root, or remove it")


def _check_directory(path: Path, folder: str, findings: Findings) -> None:
    if not os.path.isdir(folder):
        what = "is not a directory" if os.path.exists(folder) else "does not exist"
        findings.error(path, f"{folder!r} {what}: create it or correct the path")
    elif not os.access(folder, os.W_OK | os.X_OK):
        findings.error(path, f"{folder!r} is not writable for pidsup: correct its permissions")


# --- processors


def _check_processors(path: Path, values: Mapping[str, Any], findings: Findings) -> None:
    beyond = sorted(set(values["cpu_affinity"]) - _processors())
    if beyond:
        findings.error(
            (*path, "cpu_affinity"),
            f"names processors that this machine does not have: {_ranges(beyond)}",
        )


def _ranges(numbers: list[int]) -> str:
    """Write numbers in order as they may be written in a file: 2-5,8."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ",".join(
        f"{start}-{end}" if end > start else str(start)
        for start, end in zip(starts, ends, strict=True)
    )


def _processors() -> set[Any]:
    try:
        with open("/sys/devices/system/cpu/present", encoding="ascii") as file:
            return set(processors(file.read()))
    except (OSError, Wrong):
        return set(range(os.cpu_count() or 1))


# --- files, of each slot


def _slots(name: str, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what placeholders stand for, once per slot if {slot} is among them."""
    used = names_in(_texts(values))
    fixed = {
        "watcher": name,
        "generation": "1",
        **socket_numbers(values["sockets"], values["stdin_socket"]),
        **{n: os.environ.get(n.removeprefix("env."), "") for n in used if n.startswith("env.")},
    }
    slots = range(values["workers"] if "slot" in used else 1)
    return [{**fixed, "slot": str(slot)} for slot in slots]


def _texts(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that name files."""
    yield from (values["command"] or [])[:1]
    yield values["working_directory"] or ""
    yield values["environment"].get("PATH", "")
    yield values["stdout"]
    yield values["stderr"]


def _check_files(
    path: Path, values: Mapping[str, Any], slots: list[dict[str, str]], findings: Findings
) -> None:
    for key in ("stdout", "stderr"):
        if values[key] == "journal" and not os.path.exists(_JOURNALD):
            text = "there is no journald here: what workers write is lost until they find one"
            findings.warning((*path, key), text)
        for file in _distinct(values[key], slots):
            if "/" in file:
                _check_log((*path, key), file, findings)
    questions = list(dict.fromkeys(_question(values, slot) for slot in slots))
    who = values["user"] or "the worker"
    for folder, program in dict.fromkeys(answers(questions, who, _identity(values))):
        if folder:
            findings.error((*path, "working_directory"), folder)
        if program:
            findings.error((*path, "command"), program)


def _question(values: Mapping[str, Any], slot: Mapping[str, str]) -> Question:
    folder, command = values["working_directory"], values["command"]
    search = values["environment"].get("PATH", _inherited_path(values))
    return Question(
        "" if folder is None else fill(folder, slot),
        fill(command[0], slot) if isinstance(command, list) else None,  # else it was refused
        fill(search, slot),
    )


def _identity(values: Mapping[str, Any]) -> Identity | None:
    """Return whom the worker runs as, None if that is as we are or cannot be known."""
    keys = ("user", "group", "supplementary_groups")
    user, group, more = (values[key] for key in keys)
    if os.geteuid() or values["ambient_capabilities"] & _PASS or not (user or group or more):
        return None
    try:
        return credentials(Attributes(user, group, tuple(more)), {})
    except LookupError:  # which has been said
        return None


def _distinct(text: str, slots: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(fill(text, slot) for slot in slots))


def _inherited_path(values: Mapping[str, Any]) -> str:
    return os.environ.get("PATH", DEFAULT_PATH) if values["inherit_environment"] else DEFAULT_PATH


def _check_log(path: Path, file: str, findings: Findings) -> None:
    if os.path.isdir(file):
        findings.error(path, f"{file!r} is a directory: name a file in it")
    elif os.path.exists(file):
        if not os.access(file, os.W_OK):
            findings.error(path, f"{file!r} is not writable for pidsup: correct its permissions")
    else:
        _check_directory(path, os.path.dirname(file), findings)
