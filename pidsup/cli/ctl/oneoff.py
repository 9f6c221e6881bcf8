"""`pidsupctl run`: a command in the foreground, as a worker of a watcher would run."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_RIGHTS, Complaint
from pidsup.cli.ctl.reach import whose
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.client import Client
from pidsup.control.protocol import Message
from pidsup.linux.spawn import Plan, SpawnError

_NOT_FOUND, _NOT_RUNNABLE, _KILLED = 127, 126, 128  # as shells have it
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def run(given: Given, client: Client) -> int:
    """Start it as our child, wait, and pass its exit code on."""
    if given.host:
        raise Complaint("run works on this machine only: log in there, and run it")
    _check_trust(client)
    spec = client.call("Spec", within_s=PATIENCE_S, name=given.watcher)
    client.close()
    environment = {**spec["environment"], **_terminal(), **dict(given.env or ())}
    command = given.command or [environment.get("SHELL") or "/bin/sh"]
    try:
        born = Plan(command, environment=environment, **_attributes(spec)).spawn()
    except (SpawnError, ValueError) as error:
        missing = isinstance(error, SpawnError) and error.errno == 2 and error.step == "exec"
        code = _NOT_FOUND if missing else _NOT_RUNNABLE
        raise Complaint(f"cannot start {command[0]!r}: {error}", code) from error
    return _wait(born.pidfd)


def _check_trust(client: Client) -> None:
    """Run only what root or we ourselves say: an environment can name code, as LD_PRELOAD does."""
    uid = client.peer_uid()
    if uid not in (0, os.geteuid()):
        raise Complaint(
            f"the supervisor is {whose(uid)}'s, who could make you run anything: become that user "
            "first, by su or sudo",
            NO_RIGHTS,
        )


def _terminal() -> dict[str, str]:
    """Return what belongs to our terminal, not to the worker."""
    return {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}


def _attributes(spec: Message) -> dict[str, Any]:
    """Return what Plan takes; whoever is that user already needs no rights to become it."""
    attributes: dict[str, Any] = {
        "cwd": spec["working_directory"],
        "new_session": False,  # our terminal, and our group: Ctrl-C and Ctrl-Z are for both
        "umask": spec["umask"],
        "nice": spec["nice"],
        "no_new_privs": spec["no_new_privs"],
        "rlimits": [_limit(one) for one in spec["rlimits"]],
    }
    if os.geteuid() == 0:
        attributes.update(uid=spec["uid"], gid=spec["gid"], groups=spec["groups"])
        attributes.update(ambient=spec.get("ambient", 0))
        if spec.get("bounding") is not None:
            attributes.update(bounding=spec["bounding"])
    elif os.geteuid() != spec["uid"]:
        raise Complaint(
            f"cannot become user {spec['uid']}: run pidsupctl as root, or as that user", NO_RIGHTS
        )
    return attributes


def _limit(wanted: Message) -> tuple[int, int, int]:
    """Return a limit; who is not root can raise none above that of the shell."""
    which, soft, hard = wanted["resource"], wanted["soft"], wanted["hard"]
    ours = resource.getrlimit(which)[1]
    if os.geteuid() == 0 or ours == resource.RLIM_INFINITY:
        return which, soft, hard
    return which, *(ours if limit < 0 else min(limit, ours) for limit in (soft, hard))


def _wait(pidfd: int) -> int:
    """Wait for its end; signals to us are for it."""
    for signo in (signal.SIGINT, signal.SIGQUIT):  # the terminal sends them to it, too
        signal.signal(signo, signal.SIG_IGN)
    for signo in _FORWARDED:
        signal.signal(signo, lambda number, _: signal.pidfd_send_signal(pidfd, number))
    sys.stdout.flush()
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None  # noqa: S101  without WNOHANG it is not
    if ended.si_code == os.CLD_EXITED:
        return ended.si_status
    return _KILLED + ended.si_status
