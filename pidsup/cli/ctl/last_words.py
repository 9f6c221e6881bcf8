"""The last lines of workers whose output is in the journal: fetched when somebody looks."""

from __future__ import annotations

import subprocess
from time import time

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.journalctl import Matches, command, entry_of
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_EACH = 5  # lines of a slot, as a report has where the supervisor reads them itself
_MOST_SLOTS = 50
_MOST_LINES = 500  # that are looked at, as one slot may have written all of them
_PATIENCE_S = 5.0
_SLACK_S = 5.0  # until journalctl looks, on another machine
_MARGIN_S = 0.5  # for what comes between the end of a worker and an answer that tells of it
_ILL = ("backoff", "failed")


def add(given: Given, status: Message) -> dict[str, list[str]]:
    """Put the last lines into type Status where the supervisor could not know them.

    Of the slots that have failed, and return them by slot; one call of journalctl, for a
    bounded time.
    """
    if not status.get("journal"):
        return {}
    lacking = {slot["name"]: slot for slot in _lacking(status["watchers"])[:_MOST_SLOTS]}
    if not lacking:
        return {}
    # As old as the runs that failed; what was written before is another's.
    ages = {
        name: slot["for_s"] + slot["last_exit"]["ran_s"] + _MARGIN_S
        for name, slot in lacking.items()
    }
    found: dict[str, list[str]] = {name: [] for name in lacking}
    missing = len(found) * _EACH
    for name, text in _newest_first(given, status, ages):
        if len(found[name]) < _EACH:
            found[name].append(text)
            missing -= 1
        if not missing:
            break
    for name, slot in lacking.items():
        slot["last_exit"]["last_lines"] = found[name] = found[name][::-1]
    return found


def _lacking(watchers: Iterable[Message]) -> list[Message]:
    return [
        slot
        for watcher in watchers
        if "journal" in watcher["kept"].values()
        for slot in watcher["slots"]
        if slot["state"] in _ILL and slot["last_exit"] and not slot["last_exit"]["last_lines"]
    ]


def of_all(given: Given, status: Message, slots: Sequence[str], count: int) -> list[Message]:
    """Return the last *count* lines of some slots, as type Line, oldest first.

    As long as their supervisor has run, as where it keeps them itself.
    """
    lines = []
    ages = dict.fromkeys(slots[:_MOST_SLOTS], status["up_s"] + _MARGIN_S)
    for name, text in _newest_first(given, status, ages):
        lines.append({"slot": name, "text": text, "base64": None, "partial": False})
        if len(lines) == count:
            break
    return lines[::-1]


def _newest_first(
    given: Given, status: Message, ages: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Yield slot and line; nothing where we may not read the journal, or it is too slow.

    *ages*: of which slots, and how old in seconds a line may be.
    """
    if not ages:  # no match is any
        return
    now = 0.0 if given.host else time()  # of another machine's clock nothing is known
    since = {name: now - age for name, age in ages.items()}
    matches = Matches(status["journal"], status["name"])
    words = ["--quiet", "--no-pager", "--reverse", f"--lines={_MOST_LINES}", "--all"]
    words += ["--output=json", "--output-fields=MESSAGE,SYSLOG_IDENTIFIER"]
    words.append(f"--since=-{max(ages.values()) + _SLACK_S:.3f}s")  # by the clock of where it is
    words += matches.output(list(ages))
    try:
        with subprocess.Popen(  # noqa: S603  journalctl, or the user's own ssh
            command(given, matches.namespace, words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            yield from _lines(process, since)
    except OSError:  # there is no journalctl
        return


def _lines(
    process: subprocess.Popen[bytes], since: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    from threading import Timer

    alarm = Timer(_PATIENCE_S, process.kill)
    alarm.start()
    try:
        for line in process.stdout or ():
            entry = entry_of(line)
            name = next(name for name in entry["SYSLOG_IDENTIFIER"] if name in since)
            if int(entry["__REALTIME_TIMESTAMP"][0]) < since[name] * 1e6:
                continue
            for message in entry.get("MESSAGE", ()):
                yield from ((name, text) for text in reversed(message.split("\n")))
    except ValueError:  # killed in the middle of a line
        return
    finally:
        alarm.cancel()
        alarm.join()
        process.kill()
