"""The methods that only look."""

from __future__ import annotations

import os
from collections.abc import Generator

from pidsup import __version__
from pidsup.control.comparison import Comparison
from pidsup.control.feed import Feed, Subscription
from pidsup.control.lines import LineStream, all_at_once
from pidsup.control.protocol import Message, reply
from pidsup.control.request import Request
from pidsup.control.roles import Role
from pidsup.control.stream import Slices, Stream
from pidsup.errors import Invalid
from pidsup.supervisor.explain import explain
from pidsup.supervisor.facts import (
    change_facts,
    journal_facts,
    socket_facts,
    spec_facts,
    summary_facts,
    watcher_facts,
)
from pidsup.supervisor.selectors import Filter, Selection, select, slots_of
from pidsup.supervisor.standing import is_ready
from pidsup.supervisor.stats import slot_stats
from pidsup.supervisor.supervisor import Supervisor

_EXPLAINED_AT_ONCE = 20
_CHANGES = 20  # that are told unless more are asked for


class Questions:
    """Tells how a supervisor stands.  Borrows it."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Note when it began."""
        self._supervisor = supervisor
        self._began_at = supervisor.kernel.now()
        self._feed = Feed(supervisor.events)

    def status(self, request: Request) -> Message:
        """Do Status."""
        selectors = request.given.optional_strings("selectors")
        request.given.done()
        return reply(self._status(selectors, request.caller.role))

    def _status(self, selectors: list[str] | None, role: Role) -> Message:
        supervisor = self._supervisor
        chosen = select(supervisor.watchers, ["*"] if selectors is None else selectors)
        now = supervisor.kernel.now()
        return {
            "schema": 1,
            "name": supervisor.name,
            "pid": os.getpid(),
            "version": __version__,
            "state": "stopping" if supervisor.shutting_down else "running",
            "up_s": now - self._began_at,
            "watchers": [watcher_facts(watcher, slots, now) for watcher, slots in chosen],
            "changes": [change_facts(c) for c in supervisor.changes.under_way.values()],
            "sockets": self._sockets(None if selectors is None else chosen),
            "files": list(supervisor.files),
            "read_s": now - supervisor.applying.read_at,
            "role": role.word,
            "ready": is_ready(supervisor.watchers.values()),
            "journal": journal_facts(supervisor.outputs, supervisor.watchers.values()),
        }

    def _sockets(self, chosen: Selection | None) -> list[Message]:
        """Return the sockets of what is chosen; all, with their users, where that is None."""
        supervisor = self._supervisor
        facts = socket_facts(supervisor.listeners, supervisor.watchers)
        if chosen is None:
            return facts
        names = {watcher.spec.name for watcher, _ in chosen}
        return [one for one in facts if not names.isdisjoint(one["watchers"])]

    def changes(self, request: Request) -> Message:
        """Do Changes."""
        ids = request.given.optional_strings("ids")
        limit = request.given.optional_count("limit")
        request.given.done()
        known = self._supervisor.changes.known()
        if ids is not None:
            missing = set(ids) - {change.id for change in known}
            if missing:
                raise Invalid("ids", f"no change {min(missing)!r} is known, or not any more")
            known = [change for change in known if change.id in ids]
        most = (len(known) if ids is not None else _CHANGES) if limit is None else limit
        latest = known[len(known) - most :] if most < len(known) else known
        return reply({"changes": [summary_facts(change) for change in latest]})

    def events(self, request: Request) -> Message | Stream:
        """Do Events."""
        selectors = request.given.optional_strings("selectors")
        cursor = request.given.optional_text("cursor")
        request.given.done()
        wanted = None
        if selectors is not None:
            select(self._supervisor.watchers, selectors)
            wanted = Filter(selectors)
        role = request.caller.role
        stream = Subscription(
            self._feed, lambda: self._status(selectors, role), cursor=cursor, wanted=wanted
        )
        return stream if request.more else self._feed.snapshot(self._status(selectors, role))

    def logs(self, request: Request) -> Stream:
        """Do Logs."""
        given = request.given
        selectors = given.selectors()
        lines, since = given.optional_count("lines"), given.optional_number("since")
        stream = given.one_of("stream", "stdout", "stderr")
        follow = given.flag("follow", default=False)
        given.done()
        if follow and not request.more:
            raise Invalid("follow", 'needs a call with "more"')
        supervisor = self._supervisor
        chosen = slots_of(select(supervisor.watchers, selectors))
        outputs = [slot.output for _, slot in chosen if slot.output is not None]
        follower = supervisor.outputs.follow(
            outputs, lines=lines, stream=stream, since=since, follow=follow
        )
        if request.more:
            more_of = (supervisor.outputs, Filter(selectors)) if follow else None
            return LineStream(follower, more_of=more_of)
        return Slices(all_at_once(follower), supervisor.loop)

    def stats(self, request: Request) -> Stream:
        """Do Stats."""
        selectors = request.given.optional_strings("selectors")
        request.given.done()
        chosen = select(self._supervisor.watchers, ["*"] if selectors is None else selectors)
        work = self._stats(chosen, None if selectors is None else chosen)
        return Slices(work, self._supervisor.loop)

    def _stats(
        self, chosen: Selection, of: Selection | None
    ) -> Generator[Message | None, None, None]:
        kernel = self._supervisor.kernel
        at, told = kernel.now(), []
        for one in slot_stats(slots_of(chosen), kernel):
            if one is None:
                yield None
            else:
                told.append(one)
        yield reply({"at": at, "slots": told, "sockets": self._sockets(of)})

    def spec(self, request: Request) -> Message:
        """Do Spec."""
        name = request.given.optional_text("name")
        request.given.done()
        if name is None:
            raise Invalid("name", "must name a watcher or a slot")
        (watcher, slots), *others = select(self._supervisor.watchers, [name])
        if others or (slots is not None and len(slots) > 1):
            raise Invalid("name", "must name one watcher, or one slot")
        try:
            return reply(spec_facts(watcher, slots[0].index if slots else 0))
        except LookupError as error:
            raise Invalid("name", str(error)) from error

    def diff(self, request: Request) -> Stream:
        """Do Diff."""
        request.given.done()
        return Comparison(self._supervisor.applying)

    def explain(self, request: Request) -> Stream:
        """Do Explain."""
        selectors = request.given.selectors()
        request.given.done()
        chosen = select(self._supervisor.watchers, selectors)
        return Slices(self._explain(chosen), self._supervisor.loop)

    def _explain(self, chosen: Selection) -> Generator[Message | None, None, None]:
        told: list[Message] = []
        for one in explain(self._supervisor, chosen):
            told.append(one)
            if len(told) % _EXPLAINED_AT_ONCE == 0:
                yield None
        yield reply({"explanations": told})
