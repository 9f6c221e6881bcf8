"""From the sockets that are open to those that another configuration has: all or none.

What is the same is not touched, not even its queue.  Facts: what a socket is bound to and how
cannot be changed, but some of its options can; while one of ours has a port, no other can be
bound to an address that overlaps, unless both say SO_REUSEPORT at that moment; of TCP the
kernel then remembers it for the port, but lets nobody in who does not say it or is another
user, inet_csk_get_port().
Decision: what is new, or bound otherwise, is opened beside what is open, which says so for
that moment; what is left over is closed by the caller, once nothing can fail any more.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pidsup.config.address import is_unix
from pidsup.config.model import SocketSpec
from pidsup.watcher.passed import SocketMismatch
from pidsup.watcher.sockets import CannotListen, Listener, Listeners, listening

_RESTART = "systemd passes sockets only when it starts the supervisor: restart it by systemctl"


class Switch(NamedTuple):
    """What is to be, and what is left over.  Whoever gets this owns both."""

    wanted: list[Listener]  #: in the order of the configuration
    left: list[Listener]


def switch(listeners: Listeners, specs: Iterable[SocketSpec]) -> Switch:
    """Open and change what *specs* demand, without closing anything.

    CannotListen, SocketMismatch or LookupError says what is wrong, and all is as it was.
    """
    specs = list(specs)
    kept = _kept(listeners, specs)
    left = [one for one in listeners.all if one not in kept.values()]
    _refuse_to_lose(left)
    wanted: list[Listener] = []
    with ExitStack() as undo:
        for spec in specs:
            one = kept.get(spec.name)
            if one is None:
                if _is_to_pass(spec, listeners):
                    raise SocketMismatch(
                        f"cannot take sockets.{spec.name} from systemd: {_RESTART}"
                    )
                one = _opened(spec, left)
                undo.callback(one.close)
            else:
                undo.callback(_undo(one.become, one.spec))
                one.become(spec)
            wanted.append(one)
        undo.pop_all()
    return Switch(wanted, left)


def fixed(listeners: Listeners, specs: Iterable[SocketSpec]) -> frozenset[str]:
    """Return the names of those that `switch` cannot change, as they are systemd's."""
    specs = list(specs)
    kept = _kept(listeners, specs)
    lost = [one.spec.name for one in listeners.all if one.is_passed and one not in kept.values()]
    to_take = [
        spec.name for spec in specs if spec.name not in kept and _is_to_pass(spec, listeners)
    ]
    return frozenset([*lost, *to_take])


def _is_to_pass(spec: SocketSpec, listeners: Listeners) -> bool:
    """Tell whether it is for systemd to open."""
    return spec.systemd is not None and (listeners.is_activated or not spec.listen)


def _kept(listeners: Listeners, specs: Sequence[SocketSpec]) -> dict[str, Listener]:
    """Return by name what can become what is wanted: if not its namesake, then another."""
    left = {one.spec.name: one for one in listeners.all}
    kept: dict[str, Listener] = {}
    for spec in specs:
        if spec.name in left and _fits(left[spec.name], spec, listeners):
            kept[spec.name] = left.pop(spec.name)
    for spec in specs:
        if spec.name not in kept:
            alike = next((n for n, one in left.items() if _fits(one, spec, listeners)), None)
            if alike is not None:
                kept[spec.name] = left.pop(alike)
    return kept


def _fits(one: Listener, spec: SocketSpec, listeners: Listeners) -> bool:
    """Tell whether it can become what is wanted, and would be that after a restart, too."""
    is_systemds = spec.systemd is not None and listeners.is_activated
    return one.can_become(spec) and (one.is_passed or not is_systemds)


def _refuse_to_lose(left: Iterable[Listener]) -> None:
    for one in left:
        if one.is_passed:
            raise SocketMismatch(f"cannot give up or change sockets.{one.spec.name}: {_RESTART}")


def _opened(spec: SocketSpec, left: Sequence[Listener]) -> Listener:
    try:
        return listening(spec)
    except CannotListen as error:
        if error.errno != errno.EADDRINUSE or is_unix(spec.listen):
            raise
    with _shared(left):
        one = listening(spec._replace(reuse_port=True))
    one.become(spec)
    return one


@contextmanager
def _shared(left: Sequence[Listener]) -> Iterator[None]:
    """Let others be bound to the same ports for a moment."""
    for one in left:
        one.share_port(shared=True)
    try:
        yield
    finally:
        for one in left:
            one.share_port(shared=one.spec.reuse_port)


def _undo(become: Callable[[SocketSpec], object], before: SocketSpec) -> Callable[[], object]:
    return lambda: become(before)
