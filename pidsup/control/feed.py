"""What happens, as it happens: a snapshot, then events, a declared gap where some are missing."""

from __future__ import annotations

from collections.abc import Callable

from pidsup.control.protocol import Message, encode, reply
from pidsup.errors import Invalid
from pidsup.supervisor.events import Events
from pidsup.supervisor.selectors import Filter

_NOTHING: Message = {"status": None, "events": [], "missed": 0}


class Feed:
    """Makes the answers of all subscribers; those who stand at one place share them."""

    def __init__(self, events: Events) -> None:
        """Borrow the events."""
        self.events = events
        self._shared: tuple[int, int, bytes] = (-1, -1, b"")  # from, to, answer

    def cursor(self, position: int) -> str:
        """Return what a client says to go on behind *position*."""
        return f"{self.events.instance}:{position}"

    def position(self, cursor: str) -> int | None:
        """Return the position of a cursor, None if it is another supervisor's run's."""
        instance, colon, seq = cursor.rpartition(":")
        if not colon or not (seq.isascii() and seq.isdecimal()) or len(seq) > 20:
            raise Invalid("cursor", "must be one that came with an answer, INSTANCE:SEQ")
        if instance != self.events.instance:
            return None
        if int(seq) > self.events.last:
            raise Invalid("cursor", f"the last event so far is {self.events.last}")
        return int(seq)

    def snapshot(self, status: Message, *, continues: bool = False) -> Message:
        """Return an answer with how everything stands now."""
        facts = {"kind": "snapshot", "cursor": self.cursor(self.events.last)}
        return reply({**facts, **_NOTHING, "status": status}, continues=continues)

    def gap(self, missed: int, cursor: str) -> Message:
        """Return an answer that says that events behind *cursor* are missing."""
        facts = {"kind": "gap", "cursor": cursor}
        return reply({**facts, **_NOTHING, "missed": missed}, continues=True)

    def read(self, position: int, wanted: Filter | None) -> tuple[bytes | None, int]:
        """Return an answer with events behind *position*, None without any, and their end."""
        if wanted is None and position == self._shared[0]:
            return self._shared[2], self._shared[1]
        texts, end = self.events.read(position, wanted)
        if not texts:
            return None, end
        answer = self.answer(texts, end)
        if wanted is None:
            self._shared = (position, end, answer)
        return answer, end

    def answer(self, texts: bytes, end: int) -> bytes:
        """Put events, encoded and joined by commas, into an answer."""
        return (
            b'{"parameters":{"kind":"events","cursor":"%b","status":null,"events":[%b],"missed":0},'
            b'"continues":true}\0' % (self.cursor(end).encode(), texts)
        )


class Subscription:
    """One subscriber.  Borrows the feed."""

    endless = True

    def __init__(
        self,
        feed: Feed,
        status: Callable[[], Message],
        *,
        cursor: str | None,
        wanted: Filter | None,
    ) -> None:
        """Go on behind *cursor*, or begin with a snapshot; Invalid if it never was one."""
        self.over = False
        self._feed = feed
        self._status = status
        self._wanted = wanted
        self._position = None if cursor is None else feed.position(cursor)
        self._lost: str | None = None  # a cursor of another run: all of this one is missing
        if self._position is None:
            self._lost = cursor
        self._greets = self._position is not None
        self._ready: Callable[[], object] = bool

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* when something has happened."""
        self._ready = ready

    def next(self) -> bytes | None:
        """Return a gap, a snapshot, or events, whichever is due."""
        feed, position = self._feed, self._position
        if self._lost is not None:
            cursor, self._lost = self._lost, None
            return encode(feed.gap(feed.events.last, cursor))
        if position is None:
            self._position = feed.events.last
            return encode(feed.snapshot(self._status(), continues=True))
        if position < feed.events.first - 1:
            self._position = None
            missed = feed.events.first - 1 - position
            return encode(feed.gap(missed, feed.cursor(position)))
        return self._events(position)

    def _events(self, position: int) -> bytes | None:
        events = self._feed.events
        if position < events.last:
            answer, position = self._feed.read(position, self._wanted)
            self._position = position
            if answer is not None:
                self._greets = False
                return answer
        if position < events.last:  # what was read is not for us; the rest has its turn, too
            events.call_again(self._ready)
            return None
        greets, self._greets = self._greets, False
        if greets:  # so that who goes on from a cursor knows that it is connected
            return self._feed.answer(b"", position)
        events.when_more(self._ready)
        return None

    def close(self) -> None:
        """Listen no longer."""
        self._feed.events.forget(self._ready)
