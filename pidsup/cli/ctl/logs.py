"""`pidsupctl logs`: what workers have written, and what they go on writing."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from zlib import crc32

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NOT_RUNNING, OK, USAGE, Complaint
from pidsup.cli.ctl.reader import end_with_reader
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, standard_output
from pidsup.cli.ctl.values import ALL, instant
from pidsup.cli.ctl.words import Times, harmless, size
from pidsup.client import CallFailed, Client, NotRunning
from pidsup.control.protocol import Message

_LINES = 30
_STREAMS = ("stdout", "stderr")
_AGAIN_S = 0.3  # between tries to find the supervisor again
_REST_S = 1.0  # between complaints about a flood
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


def run(given: Given, client: Client) -> int:
    """Show the past, and with -f what comes, from the next supervisor too.

    What goes to the journal is shown by journalctl, else it is in the supervisor's memory.
    """
    status = _status(given, client)
    chosen = status["watchers"]
    in_journal = [watcher for watcher in chosen if "journal" in _kept(watcher, given.stream)]
    in_memory = [watcher for watcher in chosen if "memory" in _kept(watcher, given.stream)]
    of_one = given.stream is not None  # and of that the supervisor says nothing
    if in_journal or (status.get("journal") and not in_memory and not of_one):
        from pidsup.cli.ctl import journal

        if given.stream is not None:
            journal.refuse_one_stream(in_journal)
        there = {**status, "watchers": in_journal}
        if in_memory and not journal.is_needed(given) and not journal.has_output(given, there):
            if given.follow:
                _say(f"of the journal nothing is shown: {_asked_for(in_journal, 'journal')}")
            return _from_memory(given, client)
        if in_memory:
            _say(f"not in the journal, and shown without it: {_asked_for(in_memory, 'memory')}")
        whole = not given.selectors
        return journal.show(given, client, there, whole=whole)
    if chosen and not in_memory:
        names = ", ".join(watcher["name"] for watcher in chosen)
        _say(f"{given.stream or 'what they write'} is kept nowhere: {names}")
    return _from_memory(given, client)


def _status(given: Given, client: Client) -> Message:
    """Return type Status of what was selected; what is gone may still be in the journal."""
    selectors = given.selectors or None
    try:
        return client.call("Status", within_s=PATIENCE_S, selectors=selectors)
    except CallFailed as error:
        if error.name != "NoSuchSelector":
            raise
        everything = client.call("Status", within_s=PATIENCE_S)
        if not everything.get("journal"):
            raise
        from pidsup.cli.ctl import journal
        from pidsup.cli.ctl.journalctl import Matches

        matches = Matches(everything["journal"], everything["name"])
        slots = journal.slots_in_journal(given, matches)
        if not all(journal.selected(slots, [one]) for one in given.selectors):
            raise
        return {**everything, "watchers": []}


def _kept(watcher: Message, stream: str | None) -> list[str]:
    """Return where the output of a watcher, or one stream of it, can be read."""
    kept = watcher.get("kept", {})  # a supervisor that is older keeps it itself
    return [kept.get(one, "memory") for one in _STREAMS if stream in (None, one)]


def _asked_for(watchers: list[Message], where: str) -> str:
    """Return the commands that show what watchers have in memory, or in the journal."""
    commands: dict[tuple[str, str], list[str]] = {}
    for watcher in watchers:
        both = _kept(watcher, None)
        how = also = ""
        if len(set(both)) > 1:
            this = both.index(where)
            how = f"--stream {_STREAMS[this]} "
            also = f" (its {_STREAMS[1 - this]}: {both[1 - this]})"
        commands.setdefault((how, also), []).append(watcher["name"])
    return ", ".join(
        f"pidsupctl logs {how}{' '.join(names)}{also}" for (how, also), names in commands.items()
    )


def _from_memory(given: Given, client: Client) -> int:
    from pidsup.cli.ctl.journal import refuse_what_only_journalctl_can

    refuse_what_only_journalctl_can(given)
    writer = Writer(given)
    try:
        return _copy(given, client, writer)
    finally:
        writer.close()


def _copy(given: Given, client: Client, writer: Writer) -> int:
    lines = given.lines
    if lines is None:
        lines = ALL if given.since is not None else _LINES
    asked = {
        "selectors": given.selectors or None,
        "lines": lines,
        "stream": given.stream,
        "since": _since(given),
        "follow": given.follow,
    }
    if not given.follow:
        for answer in client.stream("Logs", **asked):
            writer.write(answer)
        return OK
    end_with_reader()
    again = _Again(given, client)
    while True:
        try:
            for answer in client.stream("Logs", **asked):
                writer.write(answer)
        except NotRunning:
            pass
        except Complaint as error:  # the same, through ssh
            if error.code != NOT_RUNNING:
                raise
        lost_at = time.time()
        client = again.connect(client)
        asked.update(lines=ALL, since=lost_at)


def _since(given: Given) -> float | None:
    try:
        return None if given.since is None else instant(given.since)
    except ValueError as error:
        raise Complaint(f"--since: {error}", USAGE) from error


class _Again:
    """Finds the same supervisor again after it has gone."""

    def __init__(self, given: Given, client: Client) -> None:
        """Remember where it listens: by then another may be the only one."""
        self._given = given
        if not given.host and not given.socket:
            given.socket = _address(client)
        self._uid = None if given.host else client.peer_uid()

    def connect(self, lost: Client) -> Client:
        """Wait until it is back."""
        from pidsup.cli.ctl.reach import reach

        lost.close()
        _say("the supervisor has gone; waiting for it to come back")
        while True:
            try:
                client = reach(self._given)
            except (NotRunning, Complaint):
                time.sleep(_AGAIN_S)
                continue
            if self._uid is not None and client.peer_uid() != self._uid:
                client.close()
                raise Complaint("somebody else listens there now")
            if not self._given.host:
                _say("the supervisor is back")
            return client


def _address(client: Client) -> str:
    import socket

    with socket.socket(fileno=os.dup(client.fileno())) as connection:
        address = connection.getpeername()
    return address.decode() if isinstance(address, bytes) else str(address)


def _say(text: str) -> None:
    sys.stdout.flush()
    print(f"pidsupctl: {text}", file=sys.stderr, flush=True)


class Writer:
    """Writes lines to standard output; bytes, as workers may write anything."""

    def __init__(self, given: Given) -> None:
        """Write as -o, -t and --color have it."""
        self._given = given
        self._terminal = standard_output(given.color)
        self._times = Times(given)
        self._timed = given.timestamps or self._times.absolute
        self._names = 0
        self._unfinished: tuple[str, str] | None = None  # whose piece is at the cursor
        self._left_out = _LeftOut()

    def write(self, answer: Message) -> None:
        """Write the lines of an answer, and say what it lacks."""
        out = sys.stdout.buffer
        for line in answer["lines"]:
            out.write(self._formatted(line))
        if answer["missed"] and self._given.output == "json":
            out.write(json.dumps({"missed": answer["missed"]}).encode() + b"\n")
        out.flush()
        if answer["missed"] and self._given.output != "json":
            self._left_out.add(answer["missed"])

    def close(self) -> None:
        """Say what has not been said yet."""
        self._left_out.close()

    def _formatted(self, line: Message) -> bytes:
        output = self._given.output
        if output == "json":
            return json.dumps(line).encode() + b"\n"
        if output == "plain":
            return content(line) + (b"" if line["partial"] else b"\n")
        self._names = max(self._names, len(line["slot"]))
        whose = (line["slot"], line["stream"])
        text = b""
        if self._unfinished != whose:
            text = b"\n" if self._unfinished else b""
            stamp = f"{self._times.clock(line['at'])} " if self._timed else ""
            text += stamp.encode() + prefix(line["slot"], self._names, self._terminal)
        text += content(line) if self._terminal.columns is None else shown(line, self._terminal)
        self._unfinished = whose if line["partial"] else None
        return text if line["partial"] else text + b"\n"


class _LeftOut:
    """Says how much output was left out: at once, and then the sum now and then.

    By a timer's signal, as a flood may end without another answer.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._all = 0  # the signal does not change it: it may come while we do
        self._said = 0
        self._rests = False

    def add(self, count: int) -> None:
        """Count these bytes, too."""
        self._all += count
        if not self._rests:
            signal.signal(signal.SIGALRM, self._say)
            self._say()

    def _say(self, *_: object) -> None:
        count, self._said = self._all - self._said, self._all
        self._rests = count > 0
        if self._rests:
            text = f"{size(count)} of output left out: it came faster than it was read\n"
            os.write(sys.stderr.fileno(), f"pidsupctl: {text}".encode())  # print() may be at work
            signal.setitimer(signal.ITIMER_REAL, _REST_S)

    def close(self) -> None:
        """Say the rest."""
        if self._rests:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._say()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


def content(line: Message) -> bytes:
    """Return what type Line holds."""
    if line["text"] is None:
        return base64.b64decode(line["base64"])
    text: str = line["text"]
    return text.encode()


def prefix(slot: str, columns: int, terminal: Terminal) -> bytes:
    """Return what stands before a line: the name of its slot, in a colour of its own."""
    colour = _COLOURS[crc32(slot.encode()) % len(_COLOURS)]
    return f"{terminal.paint(colour, slot.ljust(columns) + ' |')} ".encode()


def shown(line: Message, terminal: Terminal) -> bytes:
    """Return what type Line holds, so that it does no more to a terminal than to be seen."""
    text = content(line).decode(errors="backslashreplace")
    return harmless(text, colours=terminal.colour).encode()


def prefixed(line: Message, terminal: Terminal) -> bytes:
    """Return a line for people with its prefix, without its newline."""
    return prefix(line["slot"], 0, terminal) + shown(line, terminal)
