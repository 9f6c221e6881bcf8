"""What a worker's user may enter and run: asked of the kernel, as that user.

Permissions, groups, access lists and security modules all have a say; so nothing is
worked out here, but tried, in a process that has become the user.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

#: Whom to become: uid, gid and groups; None leaves them.
Identity = tuple[int | None, int | None, Sequence[int] | None]

_WE = "pidsup"
_CORRECT = "correct its permissions"


class Question(NamedTuple):
    """Whether a worker can be in *folder*, and run *program* there, found along *search*."""

    folder: str  #: "" for where the supervisor runs, which it need not enter
    program: str | None  #: None: there is none that is worth a look
    search: str

    def answer(self, who: str) -> tuple[str, str]:
        """Return what is wrong with folder and program, "" for nothing."""
        wrong = _cannot_enter(self.folder, who) if self.folder else ""
        if wrong or self.program is None:
            return wrong, ""
        return "", _cannot_run(self.program, self.folder, self.search, who)


def answers(
    questions: Sequence[Question], who: str, identity: Identity | None
) -> list[tuple[str, str]]:
    """Return the answer to each, as *identity* gets it; None is who we are.

    *who* is its name, for the texts.  Without the right to become it, as we get them.
    """
    found = None if identity is None else _as(identity, lambda: _all(questions, repr(who)))
    return _all(questions, _WE) if found is None else found


def _all(questions: Sequence[Question], who: str) -> list[tuple[str, str]]:
    return [question.answer(who) for question in questions]


def _cannot_enter(folder: str, who: str) -> str:
    try:
        found = os.stat(folder)
    except PermissionError:
        return _out_of_reach(folder, who)
    except OSError:
        return f"{folder!r} does not exist: create it or correct the path"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder!r} is not a directory: create it or correct the path"
    if not os.access(folder, os.X_OK):
        return f"{folder!r} cannot be entered by {who}: {_CORRECT}"
    return ""


def _cannot_run(program: str, folder: str, search: str, who: str) -> str:
    if "/" not in program:
        if shutil.which(program, path=search) is not None:
            return ""
        reach = "" if who == _WE else f" that {who} may search"
        return f"{program!r} is in no directory of PATH{reach}: install it or give its full path"
    full = os.path.join(folder, program)
    try:
        found = os.stat(full)
    except PermissionError:
        return _out_of_reach(program, who)
    except OSError:
        return f"{program!r} does not exist: install it or correct the path"
    if stat.S_ISDIR(found.st_mode):
        return f"{program!r} is a directory"
    if not found.st_mode & 0o111:
        return f"{program!r} is not executable: chmod +x it"
    if not os.access(full, os.X_OK):
        return f"{program!r} cannot be executed by {who}: {_CORRECT}"
    return ""


def _out_of_reach(path: str, who: str) -> str:
    return f"{path!r} cannot be reached by {who}: correct the permissions of what is above it"


# --- in another process


def _as(
    identity: Identity, ask: Callable[[], list[tuple[str, str]]]
) -> list[tuple[str, str]] | None:
    """Return what *ask* returns in a child that is somebody else; None if it may not be."""
    out, into = os.pipe()
    with warnings.catch_warnings():  # of a fork beside threads: the child takes no lock of theirs
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _answer_and_exit(identity, ask, into)
    os.close(into)
    with open(out, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return [(folder, program) for folder, program in json.loads(data)] if data else None


def _answer_and_exit(
    identity: Identity, ask: Callable[[], list[tuple[str, str]]], into: int
) -> NoReturn:
    uid, gid, groups = identity
    try:
        if groups is not None:
            os.setgroups(groups)
        if gid is not None:
            os.setresgid(gid, gid, gid)
        if uid is not None:
            os.setresuid(uid, uid, uid)
        with open(into, "wb") as file:
            file.write(json.dumps(ask()).encode())
    finally:
        os._exit(0)
