"""What only this machine can say of a configuration: users, programs, directories, rights.

`pidsup check` takes these for errors.  `pidsup run` starts all the same: what is
missing may be there by the time it is needed, and until then the slot says so.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from pidsup.config.expand import fill, names_in
from pidsup.config.kind import Path, Wrong
from pidsup.config.machine_rights import Rights, lacking, rights
from pidsup.config.problem import Findings
from pidsup.config.process_kinds import processors

#: What exec looks in without PATH, linux/spawn.py.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FIRST_SOCKET = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


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
            f"names processors that this machine does not have: {', '.join(map(str, beyond))}",
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
        **{f"sockets.{s}": str(_FIRST_SOCKET + i) for i, s in enumerate(values["sockets"])},
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
        for file in _distinct(values[key], slots):
            if "/" in file:
                _check_log((*path, key), file, findings)
    folder = values["working_directory"]
    missing = [one for one in _distinct(folder or ".", slots) if not os.path.isdir(one)]
    for one in missing:
        what = "is not a directory" if os.path.exists(one) else "does not exist"
        findings.error(
            (*path, "working_directory"), f"{one!r} {what}: create it or correct the path"
        )
    if not missing and isinstance(values["command"], list):  # else there is none
        search = values["environment"].get("PATH", _inherited_path(values))
        programs = {
            (fill(values["command"][0], slot), fill(folder or ".", slot), fill(search, slot)): None
            for slot in slots
        }
        for program, where, among in programs:
            _check_program((*path, "command"), program, where, among, findings)


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


def _check_program(path: Path, program: str, folder: str, search: str, findings: Findings) -> None:
    if "/" in program:
        full = os.path.join(folder, program)
        if not os.path.exists(full):
            findings.error(path, f"{program!r} does not exist: install it or correct the path")
        elif os.path.isdir(full):
            findings.error(path, f"{program!r} is a directory")
        elif not os.access(full, os.X_OK):
            findings.error(path, f"{program!r} is not executable: chmod +x it")
    elif shutil.which(program, path=search) is None:
        text = f"{program!r} is in no directory of PATH: install it or give its full path"
        findings.error(path, text)
