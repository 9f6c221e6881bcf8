"""`pidsupctl logs` where output goes to the journal: journalctl shows it."""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatchcase

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_SUCH_NAME, NOT_RUNNING, USAGE, Complaint
from pidsup.cli.ctl.journalctl import OUTPUTS, OWN, Matches, become, fields, has_entry, newest
from pidsup.client import Client
from pidsup.config.kinds import is_name
from pidsup.control.protocol import Message
from pidsup.log.messages import MESSAGES

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pidsup.cli.ctl.journalctl import Entry

_MOST_GONE = 1000  # each is a word of a command line, of which another machine takes 128 KiB
_MOST_LOOKED_AT = 1000
_FIELDS = "PIDSUP_NAME,UNIT,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,_SYSTEMD_OWNER_UID,_UID,_NAMESPACE"
_DIGITS = 5  # of the number of a slot
_SLACK_S = 5.0


def show(given: Given, client: Client, status: Message, *, whole: bool) -> int:
    """Become journalctl, for the watchers of type Status; *whole*: for all of them."""
    matches = Matches(status["journal"], status["name"])
    chosen = [slot["name"] for watcher in status["watchers"] for slot in watcher["slots"]]
    bare = given.output == "plain" or given.stream is not None
    if whole and not bare:
        words = matches.all(chosen)
    else:
        watchers = [watcher["name"] for watcher in status["watchers"]]
        found = selected(slots_in_journal(given, matches), given.selectors or watchers)
        if given.stream is not None:  # others are there by what they write to the other one
            found = [name for name in found if _watcher_of(name) in watchers]
        slots = [*chosen, *_gone(found, chosen)]
        about = _whole_watchers(given.selectors, [*watchers, *map(_watcher_of, slots)])
        words = matches.output(slots) if bare else matches.some(slots, about)
    client.close()
    return become(given, matches, words)


def has_output(given: Given, status: Message) -> bool:
    """Tell whether anything that the watchers of type Status write is in the journal.

    As long as their supervisor has run: earlier it may have gone there that now does not.
    """
    matches = Matches(status["journal"], status["name"])
    slots = [slot["name"] for watcher in status["watchers"] for slot in watcher["slots"]]
    words = matches.output(slots)
    since = f"--since=-{status['up_s'] + _SLACK_S:.0f}s"
    return has_entry(given, matches.namespace, [since, *words] if words else [])


def _gone(found: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return the slots that are there no more, as many as a command line can bear."""
    known = frozenset(chosen)
    gone = [name for name in found if name not in known]
    if len(gone) > _MOST_GONE:
        text = f"{len(gone) - _MOST_GONE} more slots that are gone are left out: select fewer"
        print(f"pidsupctl: {text}", file=sys.stderr)
    return gone[:_MOST_GONE]


def _whole_watchers(selectors: Sequence[str], watchers: Sequence[str]) -> list[str]:
    """Return the watchers that are selected as such, not by slots."""
    patterns = [selector for selector in selectors if ":" not in selector]
    return [
        name
        for name in dict.fromkeys(watchers)
        if not selectors or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _watcher_of(slot: str) -> str:
    return slot.rpartition(":")[0]


def slots_in_journal(given: Given, matches: Matches) -> list[str]:
    """Return the slots that have ever written, the lowest first: the gone ones, too.

    What is named as a slot could be is among them: anybody can write so.
    """
    names = fields(given, "SYSLOG_IDENTIFIER", matches.namespace)
    return sorted(filter(_is_slot, names), key=_place)


def _is_slot(name: str) -> bool:
    watcher, _, index = name.rpartition(":")
    is_index = index.isascii() and index.isdecimal() and len(index) <= _DIGITS
    return is_index and str(int(index)) == index and is_name(watcher)


def _place(slot: str) -> tuple[int, str]:
    watcher, _, index = slot.rpartition(":")
    return int(index), watcher


def selected(slots: Sequence[str], selectors: Sequence[str]) -> list[str]:
    """Return those of *slots* that are selected."""
    return [
        name
        for name in slots
        if any(fnmatchcase(name if ":" in one else _watcher_of(name), one) for one in selectors)
    ]


# --- where no supervisor answers


def of_the_past(given: Given, why: Exception) -> int:
    """Show what is in the journal of a supervisor that does not run any more, or not for us.

    Who may read the journal is journald's affair.
    """
    complaint = why if isinstance(why, Complaint) else Complaint(str(why), NOT_RUNNING)
    if given.host or given.socket or str(why).startswith("several"):
        raise complaint
    name = given.name or _only_one(given, why)
    journal = None if name is None else _last_journal(given, name)
    if name is None or journal is None:
        raise complaint
    matches = Matches(journal, name)
    slots = selected(slots_in_journal(given, matches), given.selectors or ["*"])
    if given.selectors and not slots:
        text = f"nothing of {', '.join(given.selectors)} is in the journal, and {why}"
        raise Complaint(text, NO_SUCH_NAME)
    how = "does not run" if complaint.code == NOT_RUNNING else "does not answer you"
    print(f"pidsupctl: {name} {how}; this is of the journal{_of(journal)}", file=sys.stderr)
    bare = given.output == "plain"
    if not given.selectors and not bare:
        words = matches.all(slots[:_MOST_GONE])
    else:
        slots = _gone(slots, ())
        whole = _whole_watchers(given.selectors, list(map(_watcher_of, slots)))
        words = matches.output(slots) if bare else matches.some(slots, whole)
    return become(given, matches, words)


def _of(journal: Message) -> str:
    return "" if journal["unit"] is None else f" of {journal['unit']}"


def _only_one(given: Given, why: Exception) -> str | None:
    """Return the only supervisor that the journal knows to have started, None without one."""
    entries = _said(given, f"MESSAGE_ID={MESSAGES['supervisor started'].id}")
    names = sorted({name for entry in entries for name in entry.get("PIDSUP_NAME", ())})
    if len(names) > 1:
        raise Complaint(f"{why}; the journal knows, choose by -n: {', '.join(names)}", NOT_RUNNING)
    return next(iter(names), None)


def _last_journal(given: Given, name: str) -> Message | None:
    """Return type Journal as the last entry of that supervisor tells it; None without one."""
    entry = next(iter(_said(given, f"PIDSUP_NAME={name}")), None)
    if entry is None:
        return None
    is_users = "_SYSTEMD_USER_UNIT" in entry
    unit = entry.get("_SYSTEMD_USER_UNIT" if is_users else "_SYSTEMD_UNIT", [None])
    return {
        "unit": unit[0],
        "user": int(entry["_UID"][0]) if is_users else None,
        "namespace": entry.get("_NAMESPACE", [None])[0],
    }


def _said(given: Given, match: str) -> list[Entry]:
    """Return what supervisors have said that we may believe to be ones, the newest first.

    First those of our own user and of root, then services of the system with users of their
    own: anybody else may write such entries, too.
    """
    words = [f"--lines={_MOST_LOOKED_AT}", f"--output-fields={_FIELDS}"]
    words += [f"SYSLOG_IDENTIFIER={OWN}", match]
    users = [f"_UID={uid}" for uid in sorted({os.geteuid(), 0})]
    return [*newest(given, [*words, *users]), *filter(_is_of_system, newest(given, words))]


def _is_of_system(entry: Entry) -> bool:
    """Tell whether a service of the system's manager says which one it is."""
    unit = entry.get("_SYSTEMD_UNIT")
    is_users = "_SYSTEMD_OWNER_UID" in entry or "_SYSTEMD_USER_UNIT" in entry
    return unit is not None and unit == entry.get("UNIT") and not is_users


# --- what is asked for in vain


def is_needed(given: Given) -> bool:
    """Tell whether something is asked for that only journalctl can."""
    return bool(_useless(given))


def refuse_what_only_journalctl_can(given: Given) -> None:
    """Complain of options that mean nothing for what is kept in memory."""
    useless = _useless(given)
    if useless:
        text = f"{useless[0]} is for output in the journal; this is kept by the supervisor itself"
        raise Complaint(text, USAGE)


def _useless(given: Given) -> list[str]:
    asked = {
        "--priority": given.priority is not None,
        "--until": given.until is not None,
        "--grep": given.grep is not None,
        "--reverse": given.reverse,
        "--catalog": given.catalog,
        "--no-pager": given.no_pager,
        f"-o {given.output}": given.output not in OUTPUTS,
        f"-- {' '.join(given.passed)}": bool(given.passed),
    }
    return [option for option, is_asked in asked.items() if is_asked]


def refuse_one_stream(watchers: Sequence[Message]) -> None:
    """Complain of --stream where the journal has both streams in one."""
    for watcher in watchers:
        if watcher["kept"]["stdout"] == watcher["kept"]["stderr"] == "journal":
            raise Complaint(
                f"--stream: stdout and stderr of {watcher['name']} are one stream in the journal; "
                "leave it out, or try --priority",
                USAGE,
            )
