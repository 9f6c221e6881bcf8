"""asyncio's client of the control socket: the same methods, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

from pidsup.client.events import FIRST_PAUSE_S, LONGEST_PAUSE_S, Happening, happenings
from pidsup.client.sync import Client, NotRunning, answered, connect
from pidsup.control.protocol import Decoder, Message, call, encode

_NO_LIMIT = 1 << 40  # of answers: the supervisor is ours
_READ_BYTES = 1 << 18


class AsyncClient:
    """A connection to one supervisor.  Owns it.

    One call at a time: the next waits until the answers of the last have been read.  One
    that is cancelled before leaves a connection that is of no more use: NotRunning.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Only `connect` and `over` make these."""
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(_NO_LIMIT)
        self._turn = asyncio.Lock()
        self._unanswered = False  # a call was given up: its answers may still come

    @classmethod
    async def connect(cls, name: str | None = None) -> Self:
        """Connect to the supervisor called *name*, or to the only one; as `client.connect`."""
        return await cls.over(connect(name))

    @classmethod
    async def over(cls, client: Client) -> Self:
        """Go on with a connection, and take it over."""
        connected = client.detach()
        connected.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=connected))

    async def call(self, method: str, **parameters: object) -> Message:
        """Call a method of org.pidsup.Supervisor and return its parameters.

        CallFailed when it answers with an error, NotRunning when it hangs up.
        """
        async with self._turn:
            await self._send(call(method, parameters))
            answer = await self._receive()
            self._unanswered = False
            return answered(answer)

    async def stream(self, method: str, **parameters: object) -> AsyncGenerator[Message, None]:
        """Call a method with "more", and yield the parameters of each answer, as they come.

        Who does not read to the end cannot use the connection for anything else: it is to
        be closed.
        """
        async with self._turn:
            await self._send(call(method, parameters, more=True))
            while self._unanswered:
                answer = await self._receive()
                self._unanswered = answer.get("continues") is True
                yield answered(answer)

    async def _send(self, message: Message) -> None:
        """Begin a call, unless it would get the answers of another."""
        if self._unanswered:
            raise NotRunning("an earlier call was given up on this connection: make a new one")
        self._unanswered = True
        try:
            self._writer.write(encode(message))
            await self._writer.drain()
        except ConnectionError as error:
            raise self._hung_up() from error

    def _hung_up(self) -> NotRunning:
        """Expect nothing more."""
        self._unanswered = False
        return NotRunning("the supervisor has hung up")

    async def _receive(self) -> Message:
        while (message := self._decoder.next()) is None:
            try:
                data = await self._reader.read(_READ_BYTES)
            except ConnectionError:
                data = b""
            if not data:
                raise self._hung_up()
            self._decoder.feed(data)
        return message

    async def close(self) -> None:
        """Hang up; twice is once."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:  # it has hung up first
            return

    async def __aenter__(self) -> Self:
        """Be the value of a with statement."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        await self.close()


async def events(
    selectors: Sequence[str] | None = None,
    *,
    cursor: str | None = None,
    connecting: Callable[[], Awaitable[AsyncClient]] = AsyncClient.connect,
) -> AsyncGenerator[Happening, None]:
    """Yield what happens, for ever; as `client.events.events`."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            async with (
                await connecting() as client,
                aclosing(client.stream("Events", selectors=selectors, cursor=cursor)) as answers,
            ):
                async for answer in answers:
                    pause_s = FIRST_PAUSE_S
                    for happening in happenings(answer):
                        cursor = happening.cursor
                        yield happening
        except NotRunning:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
