"""Durations, sizes, times and texts as a person reads them."""

from __future__ import annotations

from pidsup.output.harmless import clean, harmless

__all__ = ["Times", "actor", "clean", "duration", "harmless", "how_it_ended", "many", "size"]

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from pidsup.cli.ctl.arguments import Given
    from pidsup.control.protocol import Message

_UNITS = "BKMGTP"


def duration(seconds: float) -> str:
    """Word a duration in at most two units: 3h12m, 2m05s, 7.4s."""
    if seconds < 59.95:  # or it would read 60.0s
        return f"{seconds:.1f}s"
    minutes, whole = divmod(int(seconds + 0.05), 60)
    if minutes < 60:
        return f"{minutes}m{whole:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"


def size(count: float) -> str:
    """Word a number of bytes in three digits: 870B, 1.9G, 240M."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count /= 1024
        power += 1
    unit = _UNITS[power]
    return f"{count:.1f}{unit}" if count < 9.95 and unit != "B" else f"{count:.0f}{unit}"


def many(count: int, what: str) -> str:
    """Word a number of things: 1 slot, 2 slots."""
    return f"{count} {what}{'s' * (count != 1)}"


def how_it_ended(last: Message) -> str:
    """Word type Exit."""
    if last["signal"] is not None:
        return f"killed by {last['signal']}" + (" (core dumped)" if last["core"] else "")
    return "ended, unknown how" if last["code"] is None else f"exited with {last['code']}"


def actor(who: Message, *, here: bool) -> str:
    """Word type Actor; *here* means that our users are the supervisor's."""
    name = _user(who["uid"]) if here else None
    user = f"uid {who['uid']}" if name is None else name
    return f"{user} ({clean(who['comm'])})" if who["comm"] else user


def _user(uid: int) -> str | None:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return None


# --- times


class Times:
    """How times are shown: how long ago, or by the calendar."""

    def __init__(self, given: Given) -> None:
        """Follow --abs-time and --utc."""
        self.utc: bool = given.utc
        self.absolute: bool = given.abs_time or given.utc

    def ago(self, seconds: float) -> str:
        """Word the time that was so many *seconds* ago."""
        if not self.absolute:
            return f"{duration(seconds)} ago"
        from time import time

        return self.date(time() - seconds)

    def at(self, instant: float) -> str:
        """Word an instant, in seconds since 1970."""
        if self.absolute:
            return self.date(instant)
        from time import time

        return self.ago(max(0.0, time() - instant))

    def date(self, instant: float) -> str:
        """Word an instant by the calendar: 2026-03-01 14:00:05, or with a Z in UTC."""
        from time import gmtime, localtime, strftime

        if self.utc:
            return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(instant))
        return strftime("%Y-%m-%d %H:%M:%S", localtime(instant))

    def clock(self, instant: float) -> str:
        """Word an instant of a stream: the time of day with milliseconds, dated if absolute."""
        from time import gmtime, localtime, strftime

        form = "%Y-%m-%dT%H:%M:%S" if self.absolute else "%H:%M:%S"
        parts = gmtime(instant) if self.utc else localtime(instant)
        return f"{strftime(form, parts)}.{int(instant * 1000) % 1000:03}{'Z' if self.utc else ''}"
