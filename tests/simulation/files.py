"""The files of the configuration, which somebody edits all the time, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from pidsup.config.model import Config
from pidsup.supervisor.rereading import Reading, Tell
from tests.simulation import natures, settings
from tests.simulation.machine import Machine
from tests.simulation.violation import demand


class Files:
    """Takes its time to read, and finds them changed, wrong, or as they were."""

    def __init__(
        self,
        config: Config,
        machine: Machine,
        rng: Random,
        come: Callable[[Callable[[], None]], None],
    ) -> None:
        """Begin with what is in force; *come* has the supervisor called by its loop."""
        self.config = config
        self._machine = machine
        self._rng = rng
        self._come = come
        self._tell: Tell | None = None
        self._reads = False

    def begin(self, tell: Tell) -> None:
        demand(not self._reads, "two readings at a time")
        self._tell, self._reads = tell, True
        self._later(self._read)

    def cancel(self, on_gone: Callable[[], object] = bool) -> None:
        if self._reads:
            self._tell = None
            self._later(partial(self._gone, on_gone))

    def is_busy(self) -> bool:
        return self._reads

    def accept(self, reading: Reading) -> None:
        assert reading.config is not None
        self.config = reading.config

    def _later(self, what: Callable[[], None]) -> None:
        when = self._machine.now + natures.span(self._rng)
        self._machine.at(when, self._come, what)

    def _read(self) -> None:
        tell, self._tell = self._tell, None
        if tell is None:
            return
        self._reads = False
        if self._rng.random() < 0.2:
            tell(Reading(["shop.toml:1: not valid TOML"]))
        else:
            config, differences = settings.another(self._rng, self.config)
            tell(Reading([], [], differences, config))

    def _gone(self, on_gone: Callable[[], object]) -> None:
        self._reads = False
        on_gone()
