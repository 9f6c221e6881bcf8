"""The errors of pidsup, by whose fault it is.

PidsupError
├── ConfigError        the user's: a configuration that cannot be used (config.problem)
├── CycleError         the user's: watchers that wait for one another
├── AlreadyRunning     the user's: a second supervisor of the same name
├── SocketMismatch     the user's: systemd passes other sockets (watcher.passed)
├── BadVariables       the starter's: LISTEN_FDS that cannot be true (systemd.listen_fds)
├── BadAddress         the starter's: NOTIFY_SOCKET that nothing can be sent to
├── ControlError       a request that was understood and refused, or failed
│   ├── Invalid        a parameter is wrong
│   ├── NoSuchSelector nothing has that name
│   ├── Superseded     a contrary wish came later
│   ├── TimedOut       the caller's own limit passed; the change goes on
│   ├── Failed         it was tried, and failed
│   ├── Denied         the peer has no right
│   └── ShuttingDown   the supervisor is on its way out
├── ProtocolError      the peer's: bytes that are not the protocol
└── ImpossibleStep     ours: an event that cannot happen in a state

Errors of the kernel stay OSError; `linux.spawn.SpawnError` is one that knows the
step which failed.
"""

from __future__ import annotations


class PidsupError(Exception):
    """The root; the text is meant for a person."""


class CycleError(PidsupError):
    """Things wait for one another in a circle, `cycle`, first = last."""

    def __init__(self, cycle: tuple[str, ...]) -> None:
        """Name the whole circle."""
        super().__init__(" -> ".join(cycle))
        self.cycle = cycle


class BadAddress(PidsupError):
    """NOTIFY_SOCKET names what no message can be sent to."""


class AlreadyRunning(PidsupError):
    """Another supervisor holds the runtime directory."""


class ProtocolError(PidsupError):
    """The peer sent what is not a Varlink message; the connection is of no use."""


class ImpossibleStep(PidsupError):
    """An event came in a state where it cannot happen: a bug in a shell."""


class ControlError(PidsupError):
    """A request was refused or failed; `name` and `parameters` travel as Varlink."""

    name = "Failed"

    def __init__(self, text: str, **parameters: object) -> None:
        """Keep what the interface file declares for this error."""
        super().__init__(text)
        self.parameters = parameters


class Invalid(ControlError):
    """A parameter is wrong; nothing happened."""

    name = "Invalid"

    def __init__(self, field: str, why: str) -> None:
        """Name the field and say why."""
        super().__init__(f"{field}: {why}", field=field, why=why)


class NoSuchSelector(ControlError):
    """Nothing matches a selector; nothing happened."""

    name = "NoSuchSelector"

    def __init__(self, selector: str, nearest: str | None) -> None:
        """Suggest the nearest known name."""
        hint = f" (did you mean {nearest!r}?)" if nearest else ""
        super().__init__(
            f"no watcher or slot matches {selector!r}{hint}", name=selector, nearest=nearest
        )


class Superseded(ControlError):
    """A contrary wish came while this one was under way."""

    name = "Superseded"

    def __init__(self, by: str) -> None:
        """Name the change that won."""
        super().__init__(f"superseded by {by}", by=by)


class TimedOut(ControlError):
    """The caller's limit passed first; the change goes on."""

    name = "TimedOut"

    def __init__(self, change: object) -> None:
        """Carry the change as it stood."""
        super().__init__("timed out; the change goes on", change=change)


class Failed(ControlError):
    """The change was tried and failed; its tasks say where and why."""

    name = "Failed"

    def __init__(self, change: object) -> None:
        """Carry the finished change."""
        super().__init__("failed", change=change)


class Denied(ControlError):
    """The peer's user has no right to this."""

    name = "Denied"

    def __init__(self, why: str) -> None:
        """Say who may."""
        super().__init__(why, why=why)


class ShuttingDown(ControlError):
    """The supervisor is stopping everything and takes no more wishes."""

    name = "ShuttingDown"

    def __init__(self) -> None:
        """Need nothing more."""
        super().__init__("the supervisor is shutting down")
