"""Signals by name and number, signal(7).

Pure, and light: the daemon takes signals by name, too.
"""

from __future__ import annotations

from collections.abc import Collection

from pidsup.config.kind import Kind, Wrong, must_be

#: The numbers are the same on x86-64 and aarch64.
SIGNALS = {
    name: number
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT "
        "STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(),
        start=1,
    )
}
_RTMIN, _RTMAX = 34, 64  # as glibc leaves them to programs
_OF_LIBC = frozenset({32, 33})

#: What a supervisor cannot pass on, and why; what is left is what it takes, supervisor.signals.
_KEPT = {
    **dict.fromkeys(("KILL", "STOP"), "no program can catch it"),
    **dict.fromkeys(("TERM", "INT"), "it stops the supervisor, which stops its workers"),
    "CHLD": "the supervisor needs it itself",
    "PIPE": "the supervisor gets it when nobody reads what it writes",
    **dict.fromkeys(("TSTP", "TTIN", "TTOU"), "it is between a terminal and its shell"),
    **dict.fromkeys(
        ("ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "XCPU", "XFSZ", "SYS"),
        "it is the end of a supervisor that errs",
    ),
}


def signal_number(value: object) -> int:
    """Take "TERM", "SIGTERM", "RTMIN+3" or a number; return the number."""
    number = _from_name(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _RTMAX:
        raise must_be('a signal such as "TERM", "SIGUSR1", "RTMIN+3", or its number', value)
    return number


def _from_name(text: str) -> int:
    """Return 0 for what is no signal."""
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name[:5], name[5:6], name[6:]
    if base in ("RTMIN", "RTMAX") and name != base:
        if sign != "+-"[base == "RTMAX"] or not _is_decimal(offset):
            return 0
        number = _RTMIN + int(offset) if sign == "+" else _RTMAX - int(offset)
        return number if _RTMIN <= number <= _RTMAX else 0
    if _is_decimal(name):
        return int(name)
    return {"RTMIN": _RTMIN, "RTMAX": _RTMAX, **SIGNALS}.get(name, 0)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 2


def forwarded(value: object) -> int:
    """Take a signal that a supervisor can pass on."""
    number = signal_number(value)
    for name, why in _KEPT.items():
        if SIGNALS[name] == number:
            raise Wrong(((), f"cannot be {name}: {why}"))
    if number in _OF_LIBC:
        raise Wrong(((), f"cannot be {number}: the C library needs it itself"))
    return number


def any_case(word: str) -> str:
    """Return the regular expression of a word in any case, for a schema: none has flags."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word)


def _schema(kept: Collection[str]) -> dict[str, object]:
    """Return the schema of the signals but for those which are kept."""
    names = [name for name in SIGNALS if name not in kept]
    unfit = {SIGNALS[name] for name in kept} | (_OF_LIBC if kept else frozenset())
    numbers = [n for n in range(1, _RTMAX + 1) if n not in unfit]
    offset = "([0-2]?[0-9]|30)"
    words = [
        *map(any_case, names),
        rf"{any_case('RTMIN')}(\+{offset})?",
        rf"{any_case('RTMAX')}(-{offset})?",
        *(f"0?{n}" if n < 10 else str(n) for n in numbers),
    ]
    return {
        "anyOf": [
            {"enum": names},
            {"type": "string", "pattern": f"^({any_case('SIG')})?({'|'.join(words)})$"},
            {"enum": numbers},
        ]
    }


SIGNAL = Kind("signal", signal_number, _schema(()))
FORWARDED = Kind("signal", forwarded, _schema(_KEPT))
