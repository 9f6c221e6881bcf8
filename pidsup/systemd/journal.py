"""journald's protocols: streams for the output of workers, and entries of our own.

A stream is a connection to DIRECTORY/stdout, which begins with a header and goes on with
lines; journald keeps it over its own restart.  An entry is a datagram to DIRECTORY/socket,
systemd.io/JOURNAL_NATIVE_PROTOCOL: fields, or where they are too large for a datagram a
sealed memory file that holds them.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

DIRECTORY = "/run/systemd/journal"  #: of the namespace that has no name; JOURNAL.NAME of others
_INFO = 6  # syslog(3)
_SNDBUF_BYTES = 8 << 20  # as systemd has it: a flood is to wait for journald as late as possible


class Journal(NamedTuple):
    """A journal."""

    directory: str = DIRECTORY  #: where its sockets are

    @property
    def namespace(self) -> str | None:
        """Return its name, as of LogNamespace=."""
        return self.directory.removeprefix(DIRECTORY).removeprefix(".") or None

    @property
    def stream_path(self) -> str:
        """Return where it takes streams."""
        return f"{self.directory}/stdout"


def of_descriptor(fd: int, named: str) -> Journal | None:
    """Return the journal that *fd* is a stream to; *named* is what JOURNAL_STREAM says.

    None if it is none, or another one than that: systemd.exec(5), JOURNAL_STREAM.
    """
    if not is_stream(fd, named):
        return None
    directory, _, name = _peer(fd).rpartition("/")
    is_one = name == "stdout" and directory.startswith(DIRECTORY)
    return Journal(directory) if is_one else Journal()


def is_stream(fd: int, named: str) -> bool:
    """Tell whether *fd* is the stream that JOURNAL_STREAM names."""
    try:
        return bool(named) and stream_name(fd) == named
    except OSError:
        return False


def _peer(fd: int) -> str:
    """Return the path that a socket is connected to; "" where it has none."""
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as stream:
        path = stream.getpeername()
        return path if isinstance(path, str) else ""
    return ""


# --- streams


def stream_name(fd: int) -> str:
    """Return what JOURNAL_STREAM calls an open file."""
    stat = os.fstat(fd)
    return f"{stat.st_dev}:{stat.st_ino}"


def header(identifier: str, unit: str = "") -> bytes:
    """Return what a stream begins with.

    Lines are of priority info unless they begin with another, "<3>", sd-daemon(3).  *unit*
    is for those whose writer has ended before they are read; it is believed of root only.
    """
    level_prefix, syslog, kmsg, console = 1, 0, 0, 0
    return f"{identifier}\n{unit}\n{_INFO}\n{level_prefix}\n{syslog}\n{kmsg}\n{console}\n".encode()


def open_stream(journal: Journal, identifier: str, unit: str = "") -> int:
    """Connect a stream, and return its descriptor, which blocks; the caller owns it.

    It is one's standard output and error for life.  OSError where nobody listens, EAGAIN
    where too many wait to be heard.
    """
    with _socket(socket.SOCK_STREAM) as stream:
        stream.connect(journal.stream_path)
        stream.shutdown(socket.SHUT_RD)
        stream.sendall(header(identifier, unit))
        stream.setblocking(True)
        return stream.detach()


def is_over(fd: int) -> bool:
    """Tell whether journald has closed a stream: then what is written there is lost."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def end_line(fd: int) -> None:
    """Have journald take what has been written to a stream for whole lines, now.

    Whoever writes this is another process than the one before, and behind that a line does
    not go on; the line that begins is empty, and dropped.  Where there is no room nobody waits.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
    try:
        with suppress(OSError):
            stream.send(b"\n", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    finally:
        stream.detach()


# --- entries


def entry(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return what journald takes for an entry."""
    return b"".join(_field(name.encode(), _bytes(value)) for name, value in fields)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%b=%b\n" % (name, value)
    return b"%b\n%b%b\n" % (name, len(value).to_bytes(8, "little"), value)


class Entries:
    """The way for entries.  Owns a socket, which never blocks."""

    def __init__(self, journal: Journal) -> None:
        """Connect; OSError where nobody listens."""
        self._address = f"{journal.directory}/socket"
        self._socket = _socket(socket.SOCK_DGRAM)
        try:
            self._socket.connect(self._address)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor: writable when journald takes more."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send one; BlockingIOError when journald takes no more at the moment."""
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno in (errno.EMSGSIZE, errno.ENOBUFS):
                self._send_as_file(data)
            elif error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN):
                self._socket.connect(self._address)  # another listens there now
                self._socket.send(data)
            else:
                raise

    def _send_as_file(self, data: bytes) -> None:
        fd = _sealed(data)
        try:
            socket.send_fds(self._socket, [b""], [fd])
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close it; twice is once."""
        self._socket.close()


def _sealed(data: bytes) -> int:
    """Return a memory file that nobody can change any more; the caller owns it."""
    import fcntl

    fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def _socket(kind: int) -> socket.socket:
    """Make one that does not block, with all the room that we may give it."""
    made = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SNDBUF_BYTES)
    with suppress(PermissionError):  # beyond net.core.wmem_max
        made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SNDBUF_BYTES)
    return made


_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
