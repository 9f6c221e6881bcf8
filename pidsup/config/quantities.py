"""Durations and sizes as systemd writes them: "1min 30s", "512M".

Pure.
"""

from __future__ import annotations

import re

from pidsup.config.kind import Kind, Wrong, must_be

_UNITS_S = {
    unit: seconds
    for units, seconds in {
        "us": 1e-6,
        "ms": 1e-3,
        "s sec second seconds": 1,
        "m min minute minutes": 60,
        "h hr hour hours": 3600,
        "d day days": 86400,
        "w week weeks": 604800,
    }.items()
    for unit in units.split()
}  # systemd.time(7)
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_DURATION_PART = re.compile(rf"\s*({_NUMBER})\s*([a-z]*)\s*")
_UNIT = f"(?:{'|'.join(_UNITS_S)})"
#: The same for a schema, and without a choice of where a number ends, so that it is linear.
DURATION_PATTERN = rf"\s*{_NUMBER}(?:(?:\s*{_UNIT}\s*|\s+){_NUMBER})*(?:\s*{_UNIT})?\s*"
_TOO_LONG_S = 1e9
_DURATION = 'a duration such as "100ms", "5s", "1min 30s", or seconds as a number'

SIZE_PATTERN = rf"\s*({_NUMBER})\s*([KMGTPE]?)(?:i?B)?\s*"
_SIZE = re.compile(SIZE_PATTERN)
_TOO_LARGE = 1 << 62


def duration(value: object) -> float:
    """Take seconds as a number, or "1min 30s" as systemd.time(7) writes it; return seconds."""
    if isinstance(value, str):
        return _duration_from_text(value)
    # The comparison is false for nan, too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise must_be(_DURATION, value)
    return float(value)


def _duration_from_text(value: str) -> float:
    total, at = 0.0, 0
    while at < len(value) or at == 0:
        part = _DURATION_PART.match(value, at)
        if part is None:
            raise must_be(_DURATION, value)
        unit = part[2] or "s"
        if unit not in _UNITS_S:
            raise Wrong(
                ((), f"has no known unit in {part[0].strip()!r}: use us, ms, s, min, h, d, w")
            )
        total += float(part[1]) * _UNITS_S[unit]
        at = part.end()
    if total >= _TOO_LONG_S:
        raise must_be("shorter than 30 years", value)
    return total


def size(value: object) -> int:
    """Take bytes as a number, or "512M" as systemd writes it, base 1024; return bytes."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match:
        # Whole numbers stay exact; a float has 53 bits.
        amount = float(match[1]) if "." in match[1] else int(match[1])
        value = int(amount * 1024 ** (" KMGTPE".index(match[2]) if match[2] else 0))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_LARGE:
        raise must_be('a size such as "64K", "512M", "2G", or bytes as a number', value)
    return value


DURATION = Kind(
    "duration",
    duration,
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "exclusiveMaximum": _TOO_LONG_S},
            {"type": "string", "pattern": f"^{DURATION_PATTERN}$"},
        ]
    },
)
SIZE = Kind(
    "size",
    size,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "exclusiveMaximum": _TOO_LARGE},
            {"type": "string", "pattern": f"^{SIZE_PATTERN}$"},
        ]
    },
)
