"""What stands around the real shells in a simulation, and watches them from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pidsup.loop.loop import EpollLoop
from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher
from tests.simulation.kernel import FakeKernel


class SteppedLoop(EpollLoop):
    """The real loop: it calls *look* after each callback, and counts the timers that fire."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel, on_error=self.failed)
        self.look: Callable[[], None] = lambda: None
        self.fired = 0
        self._machine = kernel.machine
        self._in_timers = False
        self._error: Exception | None = None

    def _call(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        if self._in_timers:
            self.fired += 1
            self._machine.note("timer", callback.__name__)
        super()._call(callback, args)
        if self._error is not None:
            raise self._error
        self.look()

    def _run_timers(self) -> None:
        self._in_timers = True
        super()._run_timers()
        self._in_timers = False

    def failed(self, error: Exception) -> None:
        """Keep what a callback raised: none may, however bad the circumstances."""
        self._error = error


class WatchedSupervisor(Supervisor):
    """The real supervisor: it tells *entered* in the middle of an event."""

    entered: Callable[[Watcher, Slot], None] | None = None

    def slot_entered(self, watcher: Watcher, slot: Slot) -> None:
        super().slot_entered(watcher, slot)
        if self.entered is not None:
            self.entered(watcher, slot)


class FlakyEnvironment(Mapping[str, str]):
    """What workers inherit; now and then it cannot be had, and so no plan be made."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        if self._kernel.random() < self._kernel.faults.plan:
            raise LookupError("user 'web': there is no such user")
        return iter(())

    def __len__(self) -> int:
        return 0


class HearingLog:
    """Passes on what the shells report."""

    def __init__(
        self, heard: Callable[[str, dict[str, object]], None], failed: Callable[[Exception], None]
    ) -> None:
        self._heard = heard
        self._failed = failed

    def info(self, event: str, /, **facts: object) -> None:
        self._heard(event, facts)

    warning = error = info

    def bug(self, error: Exception, /) -> None:
        self._failed(error)
