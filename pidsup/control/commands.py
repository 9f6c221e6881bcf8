"""The methods that change something: each is answered with the change that it is."""

from __future__ import annotations

from pidsup.config.signals import signal_number
from pidsup.control.progress import Progress
from pidsup.control.protocol import Message, reply
from pidsup.control.request import Request
from pidsup.control.stream import Stream
from pidsup.errors import Invalid
from pidsup.process.child import Whom
from pidsup.supervisor.changes import Change
from pidsup.supervisor.facts import change_facts
from pidsup.supervisor.steering import Steering
from pidsup.supervisor.supervisor import Supervisor

Answer = Message | Stream


class Commands:
    """Passes wishes on to a supervisor.  Borrows it."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Steer this one."""
        self._supervisor = supervisor
        self._do = Steering(supervisor)

    def start(self, request: Request) -> Answer:
        """Do Start."""
        selectors, patience = request.given.strings("selectors"), request.given.patience()
        change = self._do.start(selectors, request.caller.actor())
        return self._answer(request, change, patience)

    def stop(self, request: Request) -> Answer:
        """Do Stop."""
        selectors, patience = request.given.strings("selectors"), request.given.patience()
        change = self._do.stop(selectors, request.caller.actor())
        return self._answer(request, change, patience)

    def restart(self, request: Request) -> Answer:
        """Do Restart."""
        selectors, patience = request.given.strings("selectors"), request.given.patience()
        change = self._do.restart(selectors, request.caller.actor())
        return self._answer(request, change, patience)

    def scale(self, request: Request) -> Answer:
        """Do Scale."""
        given = request.given
        selectors = given.strings("selectors")
        workers, by = given.optional_integer("workers"), given.optional_integer("by")
        patience = given.patience()
        if (workers is None) == (by is None):
            raise Invalid("workers", "give either workers or by")
        actor = request.caller.actor()
        change = self._do.scale(selectors, actor, workers=workers, by=by or 0)
        return self._answer(request, change, patience)

    def signal(self, request: Request) -> Answer:
        """Do Signal."""
        given = request.given
        selectors = given.strings("selectors")
        whom = given.one_of("whom", "main", "children", "all")
        try:
            signo = signal_number(given.take("signal"))
        except ValueError as why:
            raise Invalid("signal", str(why)) from why
        given.done()
        actor = request.caller.actor()
        change = self._do.signal(selectors, actor, signo, Whom(whom or "main"))
        return self._answer(request, change, (True, None))

    def apply(self, request: Request) -> Answer:
        """Do Apply."""
        patience = request.given.patience()
        change = self._supervisor.applying.apply(request.caller.actor())
        return self._answer(request, change, patience)

    def shutdown(self, request: Request) -> Answer:
        """Do Shutdown."""
        patience = request.given.patience()
        change = self._supervisor.shutdown(request.caller.actor())
        return self._answer(request, change, patience)

    def _answer(
        self, request: Request, change: Change, patience: tuple[bool, float | None]
    ) -> Answer:
        wait, timeout_s = patience
        if not wait:
            return reply({"change": change_facts(change)})
        return Progress(change, self._supervisor.loop, timeout_s=timeout_s, more=request.more)
