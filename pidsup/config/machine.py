"""What only this machine can say of a configuration: users, programs, directories.

`pidsup check` takes these for errors.  `pidsup run` starts all the same: what is
missing may be there by the time it is needed, and until then the slot says so.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pidsup.config.problem import Problem
from pidsup.config.where import line_of, lines_of_keys


def problems(expanded: Mapping[str, Any], *, file: str, document: str) -> list[Problem]:
    """Return what would keep watchers of this configuration from starting, here and now."""
    lines = lines_of_keys(document)
    found: list[Problem] = []
    for name, values in expanded["watchers"].items():
        for key, text in _of_watcher(values):
            path = ("watchers", name, key)
            found.append(Problem(".".join(path), text, line_of(lines, path), file))
    return found


def _of_watcher(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    user, group, folder = values["user"], values["group"], values["working_directory"]
    if user is not None and not _known(user, pwd.getpwnam):
        yield "user", f"there is no user {user!r}: create it or correct the name"
    if group is not None and not _known(group, grp.getgrnam):
        yield "group", f"there is no group {group!r}: create it or correct the name"
    if os.geteuid() != 0 and not (_is_me(user) and group is None):
        key = "user" if user is not None else "group"
        yield key, "needs root: run pidsup as root, or remove it"
    if folder is not None and not os.path.isdir(folder):
        what = "is not a directory" if os.path.exists(folder) else "does not exist"
        yield "working_directory", f"{folder!r} {what}: create it or correct the path"
        return
    if isinstance(values["command"], list):  # else it is missing
        path = values["environment"].get("PATH")
        yield from _of_command(values["command"][0], path, folder or ".")


def _of_command(program: str, path: str | None, folder: str) -> Iterator[tuple[str, str]]:
    if "/" in program:
        full = os.path.join(folder, program)
        if not os.path.exists(full):
            yield "command", f"{program!r} does not exist: install it or correct the path"
        elif os.path.isdir(full):
            yield "command", f"{program!r} is a directory"
        elif not os.access(full, os.X_OK):
            yield "command", f"{program!r} is not executable: chmod +x it"
    elif shutil.which(program, path=path) is None:
        yield "command", f"{program!r} is in no directory of PATH: install it or give its full path"


def _is_me(user: str | None) -> bool:
    if user is None or user == str(os.geteuid()):
        return True
    try:
        return pwd.getpwnam(user).pw_uid == os.geteuid()
    except KeyError:
        return False


def _known(account: str, by_name: Callable[[str], object]) -> bool:
    try:
        if account.isdecimal():
            return True  # the kernel asks for no entry
        by_name(account)
    except KeyError:
        return False
    return True
