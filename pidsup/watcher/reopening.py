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
    old = {one.spec.name: one for one in listeners.all}
    wanted: list[Listener] = []
    with ExitStack() as undo:
        specs = list(specs)
        kept = {spec.name: one for spec in specs if (one := _kept(old.get(spec.name), spec))}
        left = [one for name, one in old.items() if name not in kept]
        _refuse_to_lose(left)
        for spec in specs:
            one = kept.get(spec.name) or _take_alike(left, spec)
            if one is None:
                one = _opened(spec, left, is_activated=listeners.is_activated)
                undo.callback(one.close)
            else:
                undo.callback(_undo(one.become, one.spec))
                one.become(spec)
            wanted.append(one)
        undo.pop_all()
    return Switch(wanted, left)


def _kept(old: Listener | None, spec: SocketSpec) -> Listener | None:
    """Return the listener of that name if it can become what is wanted."""
    return old if old is not None and old.can_become(spec) else None


def _take_alike(left: list[Listener], spec: SocketSpec) -> Listener | None:
    """Take one that only had another name."""
    one = next((one for one in left if one.can_become(spec)), None)
    if one is not None:
        left.remove(one)
    return one


def _refuse_to_lose(left: Iterable[Listener]) -> None:
    for one in left:
        if one.is_passed:
            raise SocketMismatch(f"cannot give up sockets.{one.spec.name}: {_RESTART}")


def _opened(spec: SocketSpec, left: Sequence[Listener], *, is_activated: bool) -> Listener:
    if spec.systemd is not None and (is_activated or not spec.listen):
        raise SocketMismatch(f"cannot take sockets.{spec.name} from systemd: {_RESTART}")
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
