"""From calls to methods: which there are, who may call them, what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Callable

from pidsup import __version__
from pidsup.control.commands import Commands
from pidsup.control.progress import refusal
from pidsup.control.protocol import INTERFACE, Message, encode, error, reply
from pidsup.control.questions import Questions
from pidsup.control.request import Caller, Parameters, Request
from pidsup.control.roles import Role
from pidsup.control.stream import Stream
from pidsup.errors import ControlError, Denied, Invalid
from pidsup.supervisor.supervisor import Supervisor

Method = Callable[[Request], Message | Stream]

_SERVICE = "org.varlink.service"
_HERE = os.path.dirname(__file__)


class Service:
    """Answers calls on a supervisor.  Borrows it."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know all methods."""
        self._supervisor = supervisor
        ask, wish = Questions(supervisor), Commands(supervisor)
        self._methods: dict[str, tuple[Role, Method]] = {
            f"{INTERFACE}.Status": (Role.READ, ask.status),
            f"{INTERFACE}.Changes": (Role.READ, ask.changes),
            f"{INTERFACE}.Events": (Role.READ, ask.events),
            f"{INTERFACE}.Logs": (Role.READ, ask.logs),
            f"{INTERFACE}.Stats": (Role.READ, ask.stats),
            f"{INTERFACE}.Explain": (Role.READ, ask.explain),
            f"{INTERFACE}.Spec": (Role.ADMIN, ask.spec),
            f"{INTERFACE}.Start": (Role.OPERATE, wish.start),
            f"{INTERFACE}.Stop": (Role.OPERATE, wish.stop),
            f"{INTERFACE}.Restart": (Role.OPERATE, wish.restart),
            f"{INTERFACE}.Scale": (Role.OPERATE, wish.scale),
            f"{INTERFACE}.Signal": (Role.OPERATE, wish.signal),
            f"{INTERFACE}.Diff": (Role.ADMIN, ask.diff),
            f"{INTERFACE}.Apply": (Role.ADMIN, wish.apply),
            f"{INTERFACE}.Shutdown": (Role.ADMIN, wish.shutdown),
            f"{_SERVICE}.GetInfo": (Role.NONE, _get_info),
            f"{_SERVICE}.GetInterfaceDescription": (Role.NONE, _get_description),
        }

    def call(self, message: Message, caller: Caller) -> Message | Stream:
        """Answer a request, at once or by a stream; never raises for bad ones."""
        try:
            needs, method, given = self._parse(message)
        except ControlError as problem:
            return refusal(problem)
        if method is None:
            return _not_found(str(message["method"]))
        if caller.role < needs:
            return refusal(self._denied(needs, caller))
        try:
            return method(Request(given, caller, message.get("more") is True))
        except ControlError as problem:
            return refusal(problem)
        except Exception as bug:  # noqa: BLE001  the border: a client gets an answer in any case
            return self._bug(bug)

    def _parse(self, message: Message) -> tuple[Role, Method | None, Parameters]:
        name, parameters = message.get("method"), message.get("parameters", {})
        if not isinstance(name, str):
            raise Invalid("method", "must be a string")
        if not isinstance(parameters, dict):
            raise Invalid("parameters", "must be an object")
        for flag in ("more", "oneway"):
            if not isinstance(message.get(flag, False), bool):
                raise Invalid(flag, "must be true or false")
        return *self._methods.get(name, (Role.NONE, None)), Parameters(parameters)

    def next(self, stream: Stream) -> bytes | None:
        """Take the next answer of a stream; its last is an error if that fails."""
        try:
            return stream.next()
        except ControlError as problem:
            stream.over = True
            return encode(refusal(problem))
        except Exception as bug:  # noqa: BLE001  the border, as above
            stream.over = True
            return encode(self._bug(bug))

    def _bug(self, bug: Exception) -> Message:
        self._supervisor.log.bug(bug)
        return error("Internal", {"why": f"{type(bug).__name__}: {bug}"})

    def _denied(self, needs: Role, caller: Caller) -> Denied:
        has = caller.role.word if caller.role else "none"
        file = self._supervisor.files[0] if self._supervisor.files else "the configuration"
        return Denied(
            f"needs the role {needs.word}: uid {caller.uid} has {has}; "
            f"control.{needs.word} in {file} gives it"
        )


def _not_found(method: str) -> Message:
    interface = method.rpartition(".")[0]
    if interface in (INTERFACE, _SERVICE):
        return error(f"{_SERVICE}.MethodNotFound", {"method": method})
    return error(f"{_SERVICE}.InterfaceNotFound", {"interface": interface})


def _get_info(request: Request) -> Message:
    request.given.done()
    return reply(
        {
            "vendor": "pidsup",
            "product": "pidsup",
            "version": __version__,
            "url": "https://pypi.org/project/pidsup",
            "interfaces": [_SERVICE, INTERFACE],
        }
    )


def _get_description(request: Request) -> Message:
    interface = request.given.take("interface")
    request.given.done()
    if interface not in (INTERFACE, _SERVICE):
        return error(f"{_SERVICE}.InterfaceNotFound", {"interface": str(interface)})
    with open(f"{_HERE}/{interface}.varlink", encoding="utf-8") as file:
        return reply({"description": file.read()})
