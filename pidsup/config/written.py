"""Values as a person would write them in a file, for messages about what has changed.

Pure.  A value has become plain JSON by the time it is here, config/kind.py: "5s" is 5.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json import dumps
from typing import Any

from pidsup.config.option import Option
from pidsup.config.process_kinds import CAPABILITIES, IO_CLASSES, RLIMITS
from pidsup.config.signals import SIGNALS

_SIZES = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def written(option: Option, value: Any) -> str | None:
    """Write the value of an option; None where it has none."""
    if value is None:
        return None
    return _toml(_PLAINER.get(option.kind.name, _same)(value))


def duration(seconds: float) -> str:
    """Write a duration: "250ms", "1.5s"."""
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:.15g}s"


def size(amount: int) -> str | int:
    """Write a size: "64K", as a number where it is none of a larger unit."""
    for unit, letter in _SIZES:
        if amount and amount % unit == 0:
            return f"{amount // unit}{letter}"
    return amount


def signal(number: int) -> str | int:
    """Write a signal by its name, where it has one."""
    return next((name for name, known in SIGNALS.items() if known == number), number)


def _same(value: Any) -> Any:
    return value


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    return {**step, "signal": signal(step["signal"]), "timeout": duration(step["timeout"])}


def _capabilities(mask: int) -> list[str]:
    return [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]


def _limits(limits: list[tuple[int, int, int]]) -> dict[str, Any]:
    names = {number: name for name, number in RLIMITS.items()}
    return {names[which]: _limit(soft, hard) for which, soft, hard in limits}


def _limit(soft: int, hard: int) -> str | int:
    low, high = ("infinity" if each < 0 else each for each in (soft, hard))
    return low if low == high else f"{low}:{high}"


def _io_class(number: int) -> str:
    return next(name for name, known in IO_CLASSES.items() if known == number)


#: By the names of kinds: what a file would have instead of the plain value.
_PLAINER: dict[str, Callable[[Any], Any]] = {
    "duration": duration,
    "size": size,
    "octal mode": lambda mode: f"{mode:04o}",
    "signal": signal,
    "array of signals": lambda numbers: [signal(number) for number in numbers],
    "array of tables": lambda steps: [_step(step) for step in steps],
    "array of capabilities": _capabilities,
    "table of limits": _limits,
    'one of "realtime", "best-effort", "idle"': _io_class,
}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return dumps(value, ensure_ascii=False)
