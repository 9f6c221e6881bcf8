"""The kinds of values that options take: from TOML to plain JSON values.

Pure.  A kind raises ValueError with "must be ...", which the loader completes
with file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

#: What a kind returns, and what the expanded configuration consists of.
Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


class Kind(NamedTuple):
    """A kind of value: its name for messages and docs, and how it is read."""

    name: str
    parse: Callable[[object], Value]


_UNITS_S = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "sec": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "hours": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
    "w": 604800,
    "week": 604800,
    "weeks": 604800,
}  # fmt: skip  systemd.time(7)
_DURATION_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")

#: signal(7); the numbers are the same on x86-64 and aarch64.
SIGNALS = {
    name: number
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT "
        "STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(),
        start=1,
    )
}
_RTMIN, _RTMAX = 34, 64  # as glibc leaves them to programs


def boolean(value: object) -> bool:
    """Take true and false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def text(value: object) -> str:
    """Take a string without NUL."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be a string")
    return value


def integer(least: int, most: int = 2**31 - 1) -> Callable[[object], int]:
    """Take a whole number within limits."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            limits = f"of at least {least}" if most == 2**31 - 1 else f"from {least} to {most}"
            raise ValueError(f"must be a whole number {limits}")
        return value

    return parse


def number(least: float, most: float = float("inf")) -> Callable[[object], float]:
    """Take a number within limits."""

    def parse(value: object) -> float:
        # The comparison is false for nan, too.
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not (least <= value <= most and value != float("inf"))
        ):
            limits = (
                f"of at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
            )
            raise ValueError(f"must be a number {limits}")
        return float(value)

    return parse


def duration(value: object) -> float:
    """Take seconds as a number, or "1min 30s" as systemd.time(7) writes it; return seconds."""
    if isinstance(value, str):
        return _duration_from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError('must be a duration such as "100ms", "5s", "2min", or seconds as a number')
    return float(value)


def _duration_from_text(value: str) -> float:
    total, at = 0.0, 0
    while at < len(value) or at == 0:
        part = _DURATION_PART.match(value, at)
        if part is None:
            raise ValueError('must be a duration such as "100ms", "5s", "2min" or "1h 30min"')
        unit = part[2] or "s"
        if unit not in _UNITS_S:
            raise ValueError(
                f"has no known unit in {part[0].strip()!r}: use us, ms, s, min, h, d, w"
            )
        total += float(part[1]) * _UNITS_S[unit]
        at = part.end()
    if total >= 1e9:
        raise ValueError("must be shorter than 30 years")
    return total


def signal_number(value: object) -> int:
    """Take "TERM", "SIGTERM", "RTMIN+3" or a number; return the number."""
    if isinstance(value, str):
        name = value.upper().removeprefix("SIG")
        if name.isdecimal():
            return signal_number(int(name))
        if name in SIGNALS:
            return SIGNALS[name]
        base, plus, offset = name.partition("+")
        if base == "RTMIN" and (not plus or offset.isdecimal()):
            value = _RTMIN + int(offset or 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _RTMAX:
        raise ValueError('must be a signal such as "TERM", "SIGUSR1", "RTMIN+3", or its number')
    return value


def command(value: object) -> list[Value]:
    """Take an array of strings, or one string that is split into words as a shell does."""
    if isinstance(value, str):
        import shlex

        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {error}") from error
    if not isinstance(value, list) or not value:
        raise ValueError("must be an array of strings, the program first")
    words = [_word(word) for word in value]
    if not words[0]:
        raise ValueError("must name a program")
    return list(words)


def _word(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must consist of strings")
    return value


def names(value: object) -> list[Value]:
    """Take an array of strings, or a single one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise ValueError("must be an array of names")
    return [_word(name) for name in value]


def account(value: object) -> str:
    """Take the name or the number of a user or group; return it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value in ("", -1):
        raise ValueError("must be a name or a number")
    return text(str(value))


def accounts(value: object) -> list[Value]:
    """Take an array of users, and of groups behind an @."""
    return [account(item) for item in (value if isinstance(value, list) else [value])]


def address(value: object) -> str:
    """Take a port, an address with a port, a path, or @ and an abstract name."""
    return text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?\s*")
_SIZE_UNITS = "KMGTPE"


def size(value: object) -> int:
    """Take bytes as a number, or "512M" as systemd writes it, base 1024; return bytes."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match:
        return int(float(match[1]) * 1024 ** (_SIZE_UNITS.find(match[2]) + 1 if match[2] else 0))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**60:
        raise ValueError('must be a size such as "64K", "512M", "2G", or bytes as a number')
    return value


def mode(value: object) -> int:
    """Take permissions in octal, "0640", or as TOML writes them, 0o640."""
    if isinstance(value, str) and re.fullmatch("[0-7]{1,4}", value):
        return int(value, 8)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o7777:
        raise ValueError('must be permissions in octal such as "0640"')
    return value


def signals(value: object) -> list[Value]:
    """Take an array of signals."""
    return [signal_number(item) for item in (value if isinstance(value, list) else [value])]


def output(value: object) -> str:
    """Take console, capture, inherit, null, or a path."""
    if isinstance(value, str) and (
        value in ("console", "capture", "inherit", "null") or "/" in value
    ):
        return text(value)
    raise ValueError("must be console, capture, inherit, null, or a path with a slash")


def stderr_output(value: object) -> str:
    """Take the same, or stdout."""
    return "stdout" if value == "stdout" else output(value)


_IO_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}


def io_class(value: object) -> int:
    """Take the name of a class of ioprio_set(2); return its number."""
    if value not in _IO_CLASSES:
        raise ValueError("must be one of " + ", ".join(map(repr, _IO_CLASSES)))
    return _IO_CLASSES[str(value)]


def processors(value: object) -> list[Value]:
    """Take "0-3,8", or an array of numbers."""
    found: set[int] = set()
    for item in value if isinstance(value, list) else str(value).split(","):
        first, _, last = str(item).strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise ValueError('must be processors such as "0-3,8" or [0, 1]')
        found.update(range(int(first), int(last or first) + 1))
    return list(sorted(found))


#: getrlimit(2); the numbers are the same on x86-64 and aarch64.
RLIMITS = {
    name: number
    for number, name in enumerate(
        "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice "
        "rtprio rttime".split()
    )
}


def rlimits(value: object) -> list[Value]:
    """Take a table of limits; return [resource, soft, hard], -1 for infinity."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of limits")
    found: list[Value] = []
    for name, item in value.items():
        if name not in RLIMITS:
            raise ValueError(f"has the unknown limit {name!r}: known are {', '.join(RLIMITS)}")
        soft, _, hard = str(item).partition(":")
        found.append([RLIMITS[name], _limit(soft), _limit(hard or soft)])
    return found


def _limit(value: str) -> int:
    return -1 if value == "infinity" else size(value)


#: capabilities(7), linux/capability.h.
CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio "
    "sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time "
    "sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog "
    "wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
).split()


def capabilities(value: object) -> int:
    """Take an array of names, CAP_CHOWN or chown; return their mask."""
    mask = 0
    for item in names(value):
        name = str(item).lower().removeprefix("cap_")
        if name not in CAPABILITIES:
            raise ValueError(f"has the unknown capability {item!r}")
        mask |= 1 << CAPABILITIES.index(name)
    return mask


def environment(value: object) -> dict[str, Value]:
    """Take a table of strings; numbers and booleans are written as TOML writes them."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of strings")
    result: dict[str, Value] = {}
    for key, item in value.items():
        if not key or "=" in key or "\0" in key:
            raise ValueError(f"has the name {key!r}: names are not empty and have no '='")
        if isinstance(item, bool):
            item = str(item).lower()  # noqa: PLW2901  the value to be used
        if not isinstance(item, str | int | float) or "\0" in str(item):
            raise ValueError(f"has for {key!r} something that is not a string")
        result[key] = str(item)
    return result


def choice(*known: str) -> Callable[[object], str]:
    """Take one of the strings."""

    def parse(value: object) -> str:
        if value not in known:
            raise ValueError("must be one of " + ", ".join(map(repr, known)))
        return str(value)

    return parse


def stop_plan(value: object) -> list[Value]:
    """Take an array of tables {signal, timeout, to}; return them complete."""
    if not isinstance(value, list) or not value:
        raise ValueError("must be an array of tables with signal, timeout and to")
    return [_stop_step(step) for step in value]


_STEP: Mapping[str, Callable[[object], Value]] = {
    "signal": signal_number,
    "timeout": duration,
    "to": choice("main", "all"),
}


def _stop_step(step: object) -> Value:
    if not isinstance(step, dict):
        raise ValueError("must be an array of tables with signal, timeout and to")
    unknown = sorted(set(step) - set(_STEP))
    if unknown:
        raise ValueError(f"has the unknown key {unknown[0]!r}: known are signal, timeout, to")
    full: dict[str, Value] = {}
    for key, item in {"signal": "TERM", "timeout": 10, "to": "main", **step}.items():
        try:
            full[key] = _STEP[key](item)
        except ValueError as error:
            raise ValueError(f"has a step whose {key} {error}") from error
    return full
