"""Find the supervisor that is meant, and connect to it."""

from __future__ import annotations

import os

from pidsup.cli.ctl.endings import NO_RIGHTS, NOT_RUNNING, Complaint
from pidsup.client import Client, NotRunning, connect
from pidsup.control.paths import SOCKET, abstract, abstract_address, shown

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pidsup.cli.ctl.arguments import Given

_ROOTS = "/run/pidsup"
_RUNTIME = "/run/user"
_TEMPORARY = "/tmp"  # noqa: S108  whose directories are there is checked


def reach(given: Given) -> Client:
    """Connect to the supervisor that the arguments and the environment mean."""
    if given.host:
        from pidsup.cli.ctl.ssh import RemoteClient

        return RemoteClient(given.host, given.name, given.socket)
    try:
        if given.socket:
            return Client(given.socket)
        try:
            return connect(given.name)
        except NotRunning as error:
            return _of_another(given.name, str(error))
    except PermissionError:
        raise Complaint(
            "you have no right to ask this supervisor: use its user, or root, or let its "
            "configuration name you in [control]",
            NO_RIGHTS,
        ) from None


def _of_another(name: str | None, why: str) -> Client:
    """Connect to a supervisor of another user; *why* none of our own is meant."""
    by_root = os.geteuid() == 0
    if why.startswith("several") or (by_root and name is None):
        raise Complaint(why + _hint(), NOT_RUNNING)
    found = [
        (its_name, path, uid) for its_name, path, uid in of_others() if name in (None, its_name)
    ]
    alive = [one for one in found if answers(one[1])]
    if not alive:
        raise Complaint(why, NOT_RUNNING)
    if len(alive) > 1:  # who may not connect is told that each of them answers
        there = listening()
        alive = [one for one in alive if one[1] in there] or alive
    if len(alive) > 1:
        listed = "\n".join(f"  --socket {shown(path)}  ({whose(uid)})" for _, path, uid in alive)
        raise Complaint(f"several supervisors are meant, choose one:\n{listed}", NOT_RUNNING)
    _, path, uid = alive[0]
    client = Client(path)
    if client.peer_uid() != uid:
        client.close()
        raise Complaint(f"{shown(path)!r} is not its owner's, {whose(uid)}: not trusted", NO_RIGHTS)
    return client


def _hint() -> str:
    """Say whose supervisors there are besides; only root gets to see those of users."""
    others = [f"{name} ({whose(uid)})" for name, path, uid in of_others() if answers(path)]
    return f"; of users, choose by -n: {', '.join(others)}" if others and os.geteuid() == 0 else ""


def of_others() -> Iterator[tuple[str, str, int]]:
    """Yield name, address and owner: for root, users' supervisors; for a user, root's.

    And what root's systemd has made a directory for.
    """
    yield from _abstract_of_others()
    if os.geteuid() != 0:
        yield from _within(_ROOTS, 0)
        return
    for entry in _listed(_RUNTIME):
        if entry.isdecimal():
            yield from _within(f"{_RUNTIME}/{entry}/pidsup", int(entry))
    for entry in _listed(_TEMPORARY):
        uid = entry.removeprefix("pidsup-")
        if uid != entry and uid.isdecimal():
            yield from _within(f"{_TEMPORARY}/{entry}", int(uid))


def _abstract_of_others() -> Iterator[tuple[str, str, int]]:
    from pidsup.config.kinds import is_name

    for uid, name in abstract():
        address = abstract_address(name, uid)
        ours_to_ask = uid != os.geteuid() and 0 in (uid, os.geteuid())
        if ours_to_ask and is_name(name) and _listener(address) == uid:
            yield name, address, uid


def _listener(address: str) -> int | None:
    """Return who listens at an abstract address: it has no owner, and others may be there."""
    try:
        with Client(address) as client:
            return client.peer_uid()
    except (NotRunning, OSError):
        return None


def _within(directory: str, uid: int) -> Iterator[tuple[str, str, int]]:
    from pidsup.config.kinds import is_name

    for name in filter(is_name, _listed(directory)):  # others can make any
        path = f"{directory}/{name}/{SOCKET}"
        try:
            owner = os.lstat(f"{directory}/{name}").st_uid
            is_theirs = os.lstat(directory).st_uid == uid and uid in (0, owner)
            if is_theirs and os.path.exists(path):
                yield name, path, owner
        except OSError:
            continue


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def answers(path: str) -> bool:
    """Tell whether somebody listens there; who may not connect is told yes."""
    try:
        Client(path).close()
    except PermissionError:
        return True
    except (NotRunning, OSError):
        return False
    return True


def listening() -> frozenset[str]:
    """Return the paths of the Unix sockets that are bound, of our network namespace."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            return frozenset("/" + line.rstrip("\n").partition(" /")[2] for line in file)
    except OSError:
        return frozenset()


def whose(uid: int) -> str:
    """Name a user."""
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
