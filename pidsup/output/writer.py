"""The one thread that writes files, so that a slow disk stalls nobody.

The loop puts into a bounded queue per file; the thread takes all that a queue has,
and writes it at once.  Of each pair of counters one side alone writes each, so that
nothing needs a lock but the bell.  Signals are blocked before it starts, by whoever
runs the daemon.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic

from pidsup.config.model import OutputSpec
from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.output.compressor import Compressor, start_thread
from pidsup.output.file import ROTATE_AGAIN_S, LogFile
from pidsup.output.stream import Stream
from pidsup.output.trouble import Trouble, trouble

RETRY_S = 1.0  #: after a failure; until then what comes is dropped
CLOSE_S = 5.0  #: for what is queued, at the end


class FileSink:
    """One file, of one source or more.  The loop's half is public, `write_queued` the thread's."""

    def __init__(self, writer: Writer, file: LogFile, limit: int) -> None:
        """Only Writer makes these."""
        self.limit = max(limit, 1)  # with 0 there would never be room
        self.file = file
        self.sources = 0  #: that have not left
        self.listed = False  #: in the writer's list
        self._writer = writer
        self._queue: deque[tuple[Stream, bytes]] = deque()
        self._put_bytes = 0  # the loop's
        self._done_bytes = 0  # the thread's
        self._waiting: list[Stream] = []
        self._retry_at = 0.0
        self.trouble: Trouble | None = None  #: said, and not yet well again
        self._lost_bytes = 0
        self._ending = False

    # --- on the loop

    @property
    def shared(self) -> bool:
        """Tell whether several sources write to it."""
        return self.sources > 1

    @property
    def failing(self) -> bool:
        """Tell whether it has just failed."""
        return self._retry_at > 0 and monotonic() < self._retry_at

    def room(self) -> int:
        """Return how many more bytes may wait."""
        return self.limit - (self._put_bytes - self._done_bytes)

    def put(self, source: Stream, data: bytes) -> None:
        """Queue *data*."""
        self._put_bytes += len(data)
        self._queue.append((source, data))
        self._writer.wake(self)

    def await_room(self, source: Stream) -> None:
        """Resume *source* when there is room."""
        self._waiting.append(source)
        if self.room() > self.limit // 2:  # the thread was faster, and did not see it
            self._tell_room()

    def _tell_room(self) -> None:
        waiting, self._waiting = self._waiting, []
        for source in waiting:
            source.resume()

    def was_spared(self, count: int) -> None:
        """Count what was dropped meanwhile."""
        self._lost_bytes += count

    def leave(self, source: Stream) -> None:
        """Close the file behind the last source."""
        self.sources -= 1
        if not self.sources:
            self._ending = True
            self._writer.forget(self)
            self._writer.wake(self)

    def _failed(self, error: OSError, lost: dict[Stream, int]) -> None:
        for source, count in lost.items():
            source.lost(count)
        self._lost_bytes += sum(lost.values())
        before, path = self.trouble, self.file.path
        what = f"cannot write {path}: {error.strerror}"
        self.trouble = trouble(before, what, self._writer.loop.time())
        if before is None:
            self._writer.log.error(
                "cannot write file of output",
                path=path,
                why=error.strerror,
                next=f"its lines are dropped, retrying in {RETRY_S:g} s",
            )
        if self._waiting:
            self._tell_room()

    def _works_again(self) -> None:
        self.trouble = None
        lost, self._lost_bytes = self._lost_bytes, 0
        self._writer.log.info("file of output is written again", path=self.file.path, lost=lost)

    # --- in the thread

    def write_queued(self) -> None:
        """Write all there is."""
        queue = self._queue
        while queue:
            batch = [queue.popleft() for _ in range(len(queue))]
            chunks = [data for _, data in batch]
            before = self.file.taken
            try:
                self.file.write(chunks)
            except OSError as error:
                self._retry_at = monotonic() + RETRY_S
                lost = _lost(batch, self.file.taken - before)
                self._writer.tell(self._failed, error, lost)
            else:
                if self._retry_at:
                    self._retry_at = 0.0
                    self._writer.tell(self._works_again)
            finally:  # a bug, too, must not make the queue smaller
                self._done_bytes += sum(map(len, chunks))
            if self._waiting and self.room() > self.limit // 2:
                self._writer.tell(self._tell_room)
        if self._ending:
            self.file.close()


def _lost(batch: list[tuple[Stream, bytes]], written: int) -> dict[Stream, int]:
    """Return how much of each source was behind the first *written* bytes."""
    lost: dict[Stream, int] = {}
    for source, data in batch:
        count = max(0, len(data) - written)
        written = max(0, written - len(data))
        if count:
            lost[source] = lost.get(source, 0) + count
    return lost


class Writer:
    """The thread and its files.  Owns both; it starts with the first file."""

    def __init__(self, loop: Loop, log: Log) -> None:
        """Start nothing yet."""
        self.loop = loop
        self.log = log
        self._files: dict[str, FileSink] = {}
        self._todo: deque[FileSink] = deque()
        self._bell = allocate_lock()  # released: there is something to do
        self._bell.acquire()
        self._runs = allocate_lock()  # held by the thread
        self._stopping = False
        self._told: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self._compressor = Compressor(self._cannot_compress)

    def open(self, path: str, spec: OutputSpec) -> FileSink:
        """Return the sink of a file; who comes first decides how it is rotated.

        OSError when there can be no thread.
        """
        if self._runs.acquire(blocking=False):
            start_thread(self._run, self._runs)
        sink = self._files.get(path)
        if sink is None:
            file = LogFile(
                path,
                max_bytes=spec.max_size_bytes,
                max_age_s=spec.max_age_s,
                keep=spec.keep,
                rotated=partial(self._rotated, spec.compress),
            )
            sink = self._files[path] = FileSink(self, file, spec.queue_bytes)
            if spec.compress:
                self._compress(file)  # what is left from last time
        sink.sources += 1
        return sink

    def wake(self, sink: FileSink) -> None:
        """Let the thread look at *sink*."""
        if not sink.listed:
            sink.listed = True
            self._todo.append(sink)
        if self._bell.locked():  # nobody else releases it
            self._bell.release()

    def forget(self, sink: FileSink) -> None:
        """Take note that nobody writes to it any more."""
        self._files.pop(sink.file.path, None)

    def close(self) -> None:
        """Write what is queued, for at most 5 s, and end the thread; twice is once."""
        until = monotonic() + CLOSE_S
        self._stopping = True
        if self._bell.locked():
            self._bell.release()
        if self._runs.acquire(timeout=CLOSE_S):
            self._runs.release()
        else:
            self.log.error("cannot write files of output to their end", why="the disk is too slow")
        self._compressor.close(max(0.1, until - monotonic()))
        for callback, args in self._told:
            callback(*args)
        self._told.clear()

    # --- in the thread

    def tell(self, callback: Callable[..., object], *args: object) -> None:
        """Call on the loop's thread; at the end, when the loop does not turn, from `close`."""
        if self._stopping:
            self._told.append((callback, args))
        else:
            self.loop.call_soon_threadsafe(callback, *args)

    def _run(self) -> None:
        try:
            while not self._stopping or self._todo:
                self._bell.acquire()
                self._work()
        finally:
            self._runs.release()

    def _work(self) -> None:
        while self._todo:
            sink = self._todo.popleft()
            sink.listed = False
            try:
                sink.write_queued()
            except Exception as error:  # noqa: BLE001  the border of the thread
                self.tell(self.log.bug, error)

    def _rotated(self, compress: bool, file: LogFile, error: OSError | None) -> None:
        if error is not None:
            self.tell(self._cannot_rotate, file.path, error)
        elif compress:
            self._compress(file)

    def _compress(self, file: LogFile) -> None:
        try:
            self._compressor.compress(file)
        except OSError as problem:
            self._cannot_compress(file.path, problem)

    def _cannot_rotate(self, path: str, error: OSError) -> None:
        self.log.error(
            "cannot rotate file of output",
            path=path,
            why=error.strerror,
            next=f"it grows, retrying in {ROTATE_AGAIN_S:g} s",
        )

    def _cannot_compress(self, path: str, error: OSError) -> None:
        said = partial(
            self.log.error,
            "cannot compress rotated file of output",
            path=path,
            why=error.strerror,
            next="it stays as it is until the next rotation",
        )
        self.tell(said)
