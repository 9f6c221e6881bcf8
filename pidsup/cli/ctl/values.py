"""What the values of arguments and options are: from words to numbers and instants."""

from __future__ import annotations

from collections.abc import Callable

ALL = 1 << 31  #: as a number of lines


def _duration(text: str) -> float:
    from pidsup.config.quantities import duration

    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(str(error)) from error  # it quotes the text


def _count(text: str) -> str:
    if not text.lstrip("+-").isdecimal() or len(text) - len(text.lstrip("+-")) > 1:
        raise ValueError(f"{text!r} must be a number, or +N, or -N")
    return text


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} must be a whole number")
    return int(text)


def _lines(text: str) -> int:
    return ALL if text == "all" else _number(text)


def _signal(text: str) -> str:
    return text.removeprefix("-")  # as kill(1) takes it: -9


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} must be NAME=VALUE")
    return name, value


def instant(text: str) -> float:
    """Return seconds since 1970 from a date, a time of today, or how long ago it was; ValueError.

    Of the forms of systemd.time(7) those that are in use: -1h, 1h ago, today, yesterday.
    """
    import time
    from datetime import datetime, timedelta

    try:
        if text in ("today", "yesterday"):
            midnight = datetime.fromisoformat(time.strftime("%Y-%m-%d"))
            return (midnight - timedelta(days=text == "yesterday")).timestamp()
        if not text[:1].isdecimal() or not any(mark in text for mark in ":-"):
            return time.time() - _duration(text.removeprefix("-").removesuffix(" ago"))
        if "-" not in text:
            text = f"{time.strftime('%Y-%m-%d')}T{text}"
        return datetime.fromisoformat(text).timestamp()  # no zone: the local one
    except ValueError as error:
        forms = "10min, 14:00, today, or 2026-03-01 14:00"
        raise ValueError(f"{text!r} must be like {forms}") from error


KINDS: dict[str, Callable[[str], object]] = {
    "count": _count,
    "duration": _duration,
    "lines": _lines,
    "number": _number,
    "signal": _signal,
    "since": str,  # journalctl knows more forms than `instant`
    "variable": _variable,
}
