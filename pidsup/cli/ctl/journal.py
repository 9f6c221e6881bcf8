"""`pidsupctl logs` where output goes to the journal: journalctl shows it."""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatchcase

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_SUCH_NAME, NOT_RUNNING, USAGE, Complaint
from pidsup.cli.ctl.journalctl import OUTPUTS, OWN, Matches, become, command, fields
from pidsup.client import Client
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Sequence


def show(given: Given, client: Client, status: Message, *, whole: bool) -> int:
    """Become journalctl, for the watchers of type Status; *whole*: for all of them."""
    matches = Matches(status["journal"], status["name"])
    chosen = [slot["name"] for watcher in status["watchers"] for slot in watcher["slots"]]
    bare = given.output == "plain" or given.stream is not None
    if whole and not bare:
        words = matches.all(chosen)
    else:
        watchers = [watcher["name"] for watcher in status["watchers"]]
        found = slots_in_journal(given, matches, given.selectors or watchers)
        slots = [*chosen, *(name for name in found if name not in chosen)]
        about = _whole_watchers(given.selectors, [*watchers, *map(_watcher_of, slots)])
        words = matches.output(slots) if bare else matches.some(slots, about)
    client.close()
    return become(given, matches.namespace, words)


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


def slots_in_journal(given: Given, matches: Matches, selectors: Sequence[str]) -> list[str]:
    """Return the slots that have ever written, of those selected: the gone ones, too."""
    found = []
    for name in fields(given, "SYSLOG_IDENTIFIER", matches.namespace):
        watcher, colon, index = name.rpartition(":")
        if not colon or not index.isdecimal():
            continue
        for selector in selectors:
            if fnmatchcase(name if ":" in selector else watcher, selector):
                found.append(name)
                break
    return sorted(found, key=lambda name: (_watcher_of(name), int(name.rpartition(":")[2])))


# --- where no supervisor runs


def of_the_past(given: Given, why: Exception) -> int:
    """Show what the supervisor has left in the journal, once it does not run any more."""
    complaint = Complaint(str(why), NOT_RUNNING)
    if given.host or given.socket or str(why).startswith("several"):
        raise complaint
    known = fields(given, "PIDSUP_NAME", "*")
    if given.name is None and len(known) > 1:
        raise Complaint(f"{why}; the journal knows, choose by -n: {', '.join(known)}", NOT_RUNNING)
    name = given.name or next(iter(known), None)
    journal = None if name is None or name not in known else _last_journal(given, name)
    if name is None or journal is None:
        raise complaint
    matches = Matches(journal, name)
    slots = slots_in_journal(given, matches, given.selectors or ["*"])
    if given.selectors and not slots:
        text = f"nothing of {', '.join(given.selectors)} is in the journal, and {why}"
        raise Complaint(text, NO_SUCH_NAME)
    print(f"pidsupctl: {name} does not run; this is of the journal", file=sys.stderr)
    whole = _whole_watchers(given.selectors, list(map(_watcher_of, slots)))
    bare = given.output == "plain"
    words = matches.output(slots) if bare else matches.some(slots, whole)
    if not given.selectors and not bare:
        words = matches.all(slots)
    return become(given, matches.namespace, words)


def _last_journal(given: Given, name: str) -> Message | None:
    """Return type Journal as the last entry of that supervisor tells it; None without one.

    Of our own user's supervisor, or of root's: others may write such entries, too.
    """
    import json
    import subprocess

    users = [f"_UID={uid}" for uid in {os.geteuid(), 0}]
    about = [f"SYSLOG_IDENTIFIER={OWN}", f"PIDSUP_NAME={name}", *users]
    words = command(given, "*", ["--quiet", "--no-pager", "--lines=1", "--output=json", *about])
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603  journalctl
    if not done.stdout:
        return None
    entry = json.loads(done.stdout)
    is_users = "_SYSTEMD_USER_UNIT" in entry
    return {
        "unit": entry.get("_SYSTEMD_USER_UNIT" if is_users else "_SYSTEMD_UNIT"),
        "user": int(entry["_UID"]) if is_users else None,
        "namespace": entry.get("_NAMESPACE"),
    }


# --- what is asked for in vain


def refuse_what_only_journalctl_can(given: Given) -> None:
    """Complain of options that mean nothing for what is kept in memory."""
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
    useless = [option for option, is_asked in asked.items() if is_asked]
    if useless:
        text = f"{useless[0]} is for output in the journal; this is kept by the supervisor itself"
        raise Complaint(text, USAGE)


def refuse_one_stream(watchers: Sequence[Message]) -> None:
    """Complain of --stream where the journal has both streams in one."""
    for watcher in watchers:
        if watcher["kept"]["stdout"] == watcher["kept"]["stderr"] == "journal":
            raise Complaint(
                f"--stream: stdout and stderr of {watcher['name']} are one stream in the journal; "
                "leave it out, or try --priority",
                USAGE,
            )
