"""journalctl(1), with the right filter for one supervisor, here or on another machine.

It takes matches: those of one field are alternatives, those of several fields hold
together, and "+" separates alternatives of such sets.
"""

from __future__ import annotations

import errno
import json
import os
import sys

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import FAILED, OK, Complaint
from pidsup.cli.ctl.values import ALL, instant
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Entry = dict[str, list[str]]

OWN = "pidsup"  #: SYSLOG_IDENTIFIER of what the supervisor says
#: -o of ours -> journalctl's; what a field holds is never left out for its length.
OUTPUTS = {"prefixed": [], "plain": ["--output=cat", "--all"], "json": ["--output=json", "--all"]}
_LINES = 30  # as of what is kept in memory


class Matches:
    """Whose entries are wanted: those of one supervisor, as type Journal describes it."""

    def __init__(self, journal: Message, supervisor: str) -> None:
        """Take the journal, and the name of the supervisor."""
        self.namespace: str | None = journal["namespace"]
        self._supervisor = supervisor
        self._unit: str | None = journal["unit"]
        self.user: int | None = journal["user"]  #: whose manager has it, None for the system's

    def all(self, slots: Sequence[str]) -> list[str]:
        """Match everything: what the unit's workers, the supervisor and systemd say.

        A scope is a terminal's or a session's: others write there, too.
        """
        if self._unit is not None and not self._unit.endswith(".service"):
            return _alternatives([self._own(), self._of_output(slots)])
        if self.user is None and self._unit is not None:
            return [f"--unit={self._unit}"]
        sets = [self._of_unit() or self._own()]
        if self.user is not None:
            sets.append([f"_UID={self.user}", f"USER_UNIT={self._unit}"])
        return _alternatives([*sets, self._of_output(slots)])

    def output(self, slots: Sequence[str]) -> list[str]:
        """Match what slots have written."""
        return self._of_output(slots)

    def some(self, slots: Sequence[str], watchers: Sequence[str]) -> list[str]:
        """Match what slots have written, and what the supervisor says of them and of watchers."""
        own = self._own()
        others = [name for name in slots if name.rpartition(":")[0] not in watchers]
        about = [
            [*own, *(f"PIDSUP_SLOT={name}" for name in others)] if others else [],
            [*own, *(f"PIDSUP_WATCHER={name}" for name in watchers)] if watchers else [],
        ]
        return _alternatives([self._of_output(slots), *about])

    def _own(self) -> list[str]:
        """Match what the supervisor says: anybody can write such entries, but not in its unit."""
        return [
            *self._of_unit(),
            f"SYSLOG_IDENTIFIER={OWN}",
            f"PIDSUP_NAME={self._supervisor}",
        ]

    def _of_unit(self) -> list[str]:
        if self._unit is None:
            return []
        if self.user is None:
            return [f"_SYSTEMD_UNIT={self._unit}"]
        return [f"_UID={self.user}", f"_SYSTEMD_USER_UNIT={self._unit}"]

    def _of_output(self, slots: Sequence[str]) -> list[str]:
        if not slots:
            return []
        # What a process of a user wrote just before its end has no unit in the journal:
        # journald reads it later, and takes only root's word for what it was.
        where = self._of_unit() if self.user is None else [f"_UID={self.user}"]
        return [*where, *(f"SYSLOG_IDENTIFIER={name}" for name in slots)]


def _alternatives(sets: Iterable[list[str]]) -> list[str]:
    found: list[str] = []
    for one in filter(None, sets):
        found += ["+", *one] if found else one
    return found


# --- what was asked for


def options(given: Given) -> list[str]:
    """Return the options of journalctl that mean what was asked for."""
    words = list(OUTPUTS.get(given.output, [f"--output={given.output}"]))
    limits = [
        f"--{name}={_time(text)}"
        for name, text in (("since", given.since), ("until", given.until))
        if text is not None
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


def _time(text: str) -> str:
    """Return what journalctl takes for a time: as it was written, if that is a form of its own."""
    try:
        return f"@{instant(text):.6f}"
    except ValueError:
        return text


# --- the program


def command(given: Given, namespace: str | None, words: Sequence[str]) -> list[str]:
    """Return the command of journalctl, where the supervisor is."""
    whole = ["journalctl", *([f"--namespace={namespace}"] if namespace else []), *words]
    if not given.host:
        return whole
    from pidsup.cli.ctl.ssh import remote

    return remote(given.host, whole)


def fields(given: Given, name: str, namespace: str | None) -> list[str]:
    """Return the values that a field has in the journal; [] where nobody tells."""
    said = _said(given, namespace, [f"--field={name}"])
    return said.decode(errors="replace").split("\n")[:-1]


def newest(given: Given, words: Sequence[str]) -> list[Entry]:
    """Return entries of all namespaces, the newest first; [] where nobody tells."""
    said = _said(given, "*", ["--reverse", "--output=json", *words])
    return list(map(entry_of, said.splitlines()))


def has_entry(given: Given, namespace: str | None, words: Sequence[str]) -> bool:
    """Tell whether anything matches; False where nobody tells, or there are no matches."""
    return bool(words and _said(given, namespace, ["--lines=1", "--output=json", *words]))


def _said(given: Given, namespace: str | None, words: Sequence[str]) -> bytes:
    import subprocess

    program = command(given, namespace, ["--quiet", "--no-pager", *words])
    nowhere = subprocess.DEVNULL
    try:
        return subprocess.run(  # noqa: S603  journalctl, or the user's own ssh
            program, stdin=nowhere, stdout=subprocess.PIPE, stderr=nowhere, check=False
        ).stdout
    except OSError:
        return b""


def entry_of(line: bytes) -> Entry:
    """Return the fields of an entry that -o json prints; ValueError for half of one.

    Whoever writes an entry chooses its fields: it may have one several times, or none of them.
    """
    return {name: _values(told) for name, told in json.loads(line).items()}


def _values(told: object) -> list[str]:
    """Return what a field holds: numbers are told where that is not text."""
    if isinstance(told, list) and not all(isinstance(one, int) for one in told):
        return [_text(one) for one in told]
    return [_text(told)]


def _text(told: object) -> str:
    if isinstance(told, list):
        return bytes(told).decode(errors="backslashreplace")
    return str(told or "")


def become(given: Given, matches: Matches, words: Sequence[str]) -> int:
    """Become journalctl: all that it says and does is its own, and so is the exit code."""
    import signal

    if not words:  # to journalctl that is everything there is
        return OK
    if given.color != "auto":
        os.environ["SYSTEMD_COLORS"] = "1" if given.color == "always" else "0"
    # What of others we may not read is no affair of a user who asks for his own.
    quietly = ["--quiet"] if matches.user == os.geteuid() and not given.host else []
    program = command(given, matches.namespace, [*quietly, *options(given), *words])
    if given.host:  # ssh would read what is for another: `while read host; do ...`
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout.flush()
    # Python ignores it, and so would journalctl.
    ignored = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)  # noqa: S606  journalctl, or the user's own ssh
    except OSError as error:
        signal.signal(signal.SIGPIPE, ignored)  # or this process would die of it, saying nothing
        hint = ": select fewer slots" if error.errno == errno.E2BIG else ""
        raise Complaint(f"cannot run {program[0]}: {error.strerror}{hint}", FAILED) from error
