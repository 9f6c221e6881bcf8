"""The interface file, and whether answers are what it declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import varlink
from varlink import scanner

import pidsup.control

TEXT = (Path(pidsup.control.__file__).parent / "org.pidsup.Supervisor.varlink").read_text()
INTERFACE: Any = varlink.Interface(TEXT)


def answer_is_declared(method: str, answer: Any) -> list[str]:
    """Return how an answer differs from what the interface declares."""
    return list(_differs(method, INTERFACE.members[method].out_type, answer))


def error_is_declared(name: str, parameters: Any) -> list[str]:
    """Return how the parameters of an error differ from what the interface declares."""
    return list(_differs(name, INTERFACE.members[name].type, parameters))


def is_declared(name: str, value: Any) -> list[str]:
    """Return how a value differs from a type."""
    return list(_differs(name, INTERFACE.members[name].type, value))


def _differs(where: str, kind: Any, value: Any) -> Iterator[str]:
    if isinstance(kind, scanner._Maybe):
        if value is not None:
            yield from _differs(where, kind.element_type, value)
    elif isinstance(kind, scanner._CustomType):
        yield from _differs(where, INTERFACE.members[kind.name].type, value)
    elif isinstance(kind, scanner._Struct):
        yield from _struct_differs(where, kind.fields, value)
    elif isinstance(kind, scanner._Array):
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no array"
            return
        for index, one in enumerate(value):
            yield from _differs(f"{where}[{index}]", kind.element_type, one)
    elif isinstance(kind, scanner._Enum):
        if value not in kind.fields:
            yield f"{where}: {value!r} is none of {list(kind.fields)}"
    elif isinstance(kind, scanner._Object):
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no object"
    else:
        yield from _plain_differs(where, kind, value)


def _struct_differs(where: str, fields: Any, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    yield from (f"{where}.{name} is not declared" for name in value.keys() - fields.keys())
    for name, kind in fields.items():
        if name in value:
            yield from _differs(f"{where}.{name}", kind, value[name])
        else:
            yield f"{where}.{name} is missing"


def _plain_differs(where: str, kind: Any, value: Any) -> Iterator[str]:
    wanted: Any = {bool: bool, int: int, float: (int, float), str: str}[
        next(one for one in (bool, int, float, str) if isinstance(kind, one))
    ]
    if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {type(kind).__name__}"
