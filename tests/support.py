"""What tests of several layers share: waiting, small programs, loops to drive, leaks.

Nothing here sleeps for luck: whatever is waited for has a limit, and says what
it was when that passes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from pidsup.kernel import LINUX, Kernel
from pidsup.linux import pidfd, spawn
from pidsup.loop.loop import EpollLoop, Loop

#: Long for a machine that is busy or runs a sanitizer; nothing waits that long in vain.
LIMIT_S = 30.0

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="*** needs root ***")


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 0))
    except OSError:
        return False


needs_localhost = pytest.mark.skipif(
    not _resolves("localhost"), reason="*** needs a name for 127.0.0.1: localhost in /etc/hosts ***"
)


def needs_capability(number: int, name: str) -> pytest.MarkDecorator:
    """Skip without a capability of capabilities(7), which not every root has, and say so."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return pytest.mark.skipif(not effective >> number & 1, reason=f"*** needs {name} ***")


def kernel_version() -> tuple[int, int]:
    """Return (6, 18): for what no call can be asked about."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def needs_linux(major: int, minor: int) -> pytest.MarkDecorator:
    """Skip below this version of Linux, and say so."""
    return pytest.mark.skipif(
        kernel_version() < (major, minor), reason=f"*** needs Linux {major}.{minor} ***"
    )


# --- waiting


def wait_until(
    predicate: Callable[[], object],
    what: str = "",
    limit_s: float = LIMIT_S,
    every_s: float = 0.001,
) -> None:
    """Wait for what no descriptor announces, such as another process' state in /proc."""
    deadline = time.monotonic() + limit_s
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {what or predicate}")
        time.sleep(every_s)


def read_line(fd: int, limit_s: float = LIMIT_S) -> bytes:
    """Read up to a newline, byte by byte: what follows is left for the next read."""
    line = b""
    while not line.endswith(b"\n"):
        byte = read_some(fd, 1, limit_s)
        if not byte:
            break
        line += byte
    return line


def read_some(fd: int, most: int = 65536, limit_s: float = LIMIT_S) -> bytes:
    """Read what there is as soon as there is something; b"" at the end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(limit_s * 1000):
        raise AssertionError(f"nothing to read within {limit_s:g} s")
    return os.read(fd, most)


def read_all(fd: int, limit_s: float = LIMIT_S) -> bytes:
    """Read to the end of the file."""
    data = b""
    while more := read_some(fd, limit_s=limit_s):
        data += more
    return data


@contextmanager
def unblocked_by(
    rescue: Callable[[], object], limit_s: float = 5.0, *, expected: bool = False
) -> Iterator[None]:
    """Run *rescue* after *limit_s* in a thread, to end what blocks; fail unless *expected*."""
    blocked = threading.Event()

    def come() -> None:
        blocked.set()
        rescue()

    timer = threading.Timer(limit_s, come)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    assert blocked.is_set() == expected, f"blocked for {limit_s:g} s: {blocked.is_set()}"


# --- programs


def sh(script: str, *arguments: str) -> list[str]:
    """Return the command that runs *script*; its $1 is the first argument."""
    return ["/bin/sh", "-c", script, "sh", *arguments]


def python(code: str, *arguments: str) -> list[str]:
    """Return the command that runs *code* in this Python; it takes 20 ms to start."""
    return [sys.executable, "-c", code, *arguments]


def status(pid: int) -> dict[str, str]:
    """Return /proc/PID/status, proc_pid_status(5): "SigBlk" -> "0000000000000000"."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {key: value.strip() for key, _, value in (s.partition(":") for s in text.splitlines())}


def descriptors(pid: int | str = "self") -> dict[int, str]:
    """Return what the open descriptors of a process refer to, by number."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # the one that the listing itself needed
            continue
    return found


def my_children() -> list[int]:
    """Return all children of this process, zombies too, whichever thread made them."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError, ProcessLookupError):  # threads come and go
            text = Path(f"/proc/self/task/{task}/children").read_text()
            found.extend(map(int, text.split()))
    return sorted(found)


def await_end(pidfd: int) -> None:
    """Wait until the process is dead, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(LIMIT_S * 1000), f"process of pidfd {pidfd} did not end"


def is_sanitized() -> bool:
    """Tell whether the extension runs under AddressSanitizer, which never frees at once."""
    return "asan" in os.environ.get("LD_PRELOAD", "")


@contextmanager
def open_files_limited(soft: int) -> Iterator[None]:
    """Lower our own limit of open files: the number that the next one would get, say."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def next_fd() -> int:
    """Return the number that the next descriptor will get."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)
    return fd


@contextmanager
def signals_blocked(*signals: int) -> Iterator[None]:
    """Block *signals* in every thread; what is still pending at the end is thrown away.

    pytest has a watchdog thread, made anew for each test.  It blocks all signals
    before it goes to sleep, but while it starts it would take them away.
    """
    wanted = sum(1 << (signo - 1) for signo in signals)

    def all_block() -> bool:
        others = {int(task) for task in os.listdir("/proc/self/task")} - {threading.get_native_id()}
        try:
            looks = [status(task) for task in others]
        except (FileNotFoundError, ProcessLookupError):  # it ended: look again
            return False
        return all(
            look["State"][0] == "S" and int(look["SigBlk"], 16) & wanted == wanted for look in looks
        )

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        wait_until(all_block, "signals blocked in all threads")
        yield
    finally:
        while signal.sigtimedwait(set(signals) - before, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Spawned:
    """A process made by pidsup's own spawn, with pipes to it.  Owns them and the pidfd."""

    def __init__(self, born: spawn.Born, into: int, out: int) -> None:
        self.pid, self.pidfd, self.inode = born
        self.into = into
        self.out = out
        self.exit: pidfd.Exit | None = None

    def ready(self) -> None:
        """Wait until a `cat` answers: only then is its exec over, and all of it to be seen."""
        os.write(self.into, b"?\n")
        assert read_line(self.out) == b"?\n"

    def output(self) -> bytes:
        """Close its input, and return all it writes."""
        self.hang_up()
        return read_all(self.out)

    def hang_up(self) -> None:
        """Close its input: the end of a `cat`."""
        if self.into >= 0:
            fd, self.into = self.into, -1
            os.close(fd)

    def wait(self) -> pidfd.Exit:
        """Wait for its end, and reap it."""
        if self.exit is None:
            await_end(self.pidfd)
            self.exit = pidfd.wait(self.pidfd)
        assert self.exit is not None
        return self.exit

    def close(self) -> None:
        """Kill it, its group too, and give up all."""
        if self.pidfd < 0:
            return
        if self.exit is None:
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            pidfd.send_signal(self.pidfd, signal.SIGKILL)
            self.wait()
        self.hang_up()
        os.close(self.out)
        os.close(self.pidfd)
        self.pidfd = -1


def start(command: Sequence[str] = ("cat",), **attributes: Any) -> Spawned:
    """Spawn with pipes as 0 and 1 (or first in *more_fds*' row); the caller closes it."""
    into_child, into = os.pipe()
    out, out_of_child = os.pipe()
    fds = (into_child, out_of_child, 2, *attributes.pop("more_fds", ()))
    attributes.setdefault("environment", {"PATH": spawn.DEFAULT_PATH})
    try:
        born = spawn.Plan(command, fds=fds, **attributes).spawn()
    except BaseException:
        os.close(into)
        os.close(out)
        raise
    finally:
        os.close(into_child)
        os.close(out_of_child)
    return Spawned(born, into, out)


# --- loops


class Driver(Protocol):
    """A loop that a test runs turn by turn."""

    errors: list[BaseException]  #: what callbacks raised

    @property
    def loop(self) -> Loop:
        """Return the loop itself."""

    def turn(self, until: Callable[[], object] = bool) -> None:
        """Handle what happens; do not wait for more once *until* holds."""

    def close(self) -> None:
        """Give up the loop."""


class EpollDriver:
    """pidsup's own."""

    def __init__(self, kernel: Kernel = LINUX) -> None:
        self.errors: list[BaseException] = []
        self.loop = EpollLoop(kernel, on_error=self.errors.append)

    def turn(self, until: Callable[[], object] = bool) -> None:
        """Ask in the middle of the turn: calls come first, and then it waits."""
        self.loop.call_soon(lambda: until() and self.loop.call_soon(bool))
        self.loop.turn()

    def close(self) -> None:
        self.loop.close()


class AsyncioDriver:
    """The standard library's."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop: Any = asyncio.SelectorEventLoop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context["exception"]))

    def turn(self, until: Callable[[], object] = bool) -> None:
        """Do what run_forever() does in one round: it waits, and then come the calls."""
        if not until():
            self.loop._run_once()

    def close(self) -> None:
        self.loop.close()


def run_until(
    driver: Driver, predicate: Callable[[], object], what: str = "", limit_s: float = LIMIT_S
) -> None:
    """Turn the loop until *predicate* holds."""
    loop = driver.loop
    deadline = loop.time() + limit_s
    alarm = loop.call_at(deadline, lambda: None)  # a loop that waits for ever would not tell
    try:
        while not predicate():
            if loop.time() > deadline:
                raise AssertionError(f"not within {limit_s:g} s: {what or predicate}")
            driver.turn(predicate)
    finally:
        alarm.cancel()


def run_for(driver: Driver, seconds: float) -> None:
    """Turn the loop for a while: to see that something does *not* happen."""
    loop = driver.loop
    over: list[bool] = []
    loop.call_at(loop.time() + seconds, over.append, True)
    run_until(driver, lambda: over)


# --- leaks


class Holdings(NamedTuple):
    """What a process has that a test could leave behind."""

    fds: dict[int, str]
    children: list[int]
    blocked: frozenset[int]
    threads: frozenset[threading.Thread]


def holdings() -> Holdings:
    """Look at this process."""
    return Holdings(
        descriptors(),
        my_children(),
        frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        frozenset(threading.enumerate()),
    )


def left_over(before: Holdings) -> list[str]:
    """Say what there is more or less than *before*, and set right what would spoil later tests."""
    after = holdings()
    said = []
    for fd in before.fds.keys() | after.fds.keys():
        was, is_now = before.fds.get(fd, "nothing"), after.fds.get(fd, "nothing")
        if was != is_now:
            said.append(f"descriptor {fd} was {was} and is {is_now}")
    del said[5:]  # a loop that leaks has leaked a thousand
    for pid in after.children:
        if pid not in before.children:
            said.append(f"child {pid}, {status(pid)['Name']}, {status(pid)['State']}")
            os.kill(pid, signal.SIGKILL)  # unreaped: the number is still its own
            os.waitpid(pid, 0)
    if after.blocked != before.blocked:
        changed = sorted(after.blocked ^ before.blocked)
        said.append(f"signals blocked or unblocked: {changed}")
        signal.pthread_sigmask(signal.SIG_SETMASK, before.blocked)
    said.extend(f"thread {thread.name}" for thread in after.threads - before.threads)
    return said
