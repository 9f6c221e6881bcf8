"""What differs between two configurations, field by field, and what each difference takes.

Pure.  Both are expanded, config/model.py.  What the change of an option takes stands in the
table of options, which only `differences` imports: the daemon is told them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pidsup.config.option import Option

ADD, REMOVE = "add", "remove"  #: a whole watcher or socket
LIVE = "live"  #: it takes effect in place
RESTART = "restart"  #: the watcher gets new workers
REOPEN = "reopen"  #: the socket is opened anew, and who has it gets new workers
NEVER = "never"  #: it cannot change while the supervisor runs

_WHAT_IT_IS = {"watchers": "command", "sockets": "listen"}


class Difference(NamedTuple):
    """One field that differs, or a whole section that is new or gone."""

    section: str  #: supervisor, control, sockets, watchers
    name: str  #: of the watcher or socket, else ""
    option: str  #: "" for a whole section; "environment.HOME" within a table
    old: str | None  #: as it would be written in a file; None where there is nothing
    new: str | None
    takes: str  #: one of the above

    @property
    def key(self) -> str:
        """Return where it stands: "watchers.web.command"."""
        return ".".join(filter(None, (self.section, self.name, self.option)))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs, in the order of the table; the order of sections does not count."""
    from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER

    names = [{**each["supervisor"], "name": each["name"]} for each in (old, new)]
    return [
        *_fields(_nothing("supervisor"), SUPERVISOR, *names),
        *_fields(_nothing("control"), CONTROL, old["control"], new["control"]),
        *_sections("sockets", SOCKET, old["sockets"], new["sockets"]),
        *_sections("watchers", WATCHER, old["watchers"], new["watchers"]),
    ]


def _nothing(section: str, name: str = "") -> Difference:
    """Return what all differences of a section begin as."""
    return Difference(section, name, "", None, None, LIVE)


def _sections(
    kind: str, options: Mapping[str, Option], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Difference]:
    from pidsup.config.written import written

    main = _WHAT_IT_IS[kind]
    for name in dict.fromkeys([*new, *old]):
        found = _nothing(kind, name)
        if name in old and name in new:
            yield from _fields(found, options, old[name], new[name])
        elif name in new:
            yield found._replace(new=written(options[main], new[name][main]), takes=ADD)
        else:
            yield found._replace(old=written(options[main], old[name][main]), takes=REMOVE)


def _fields(
    found: Difference,
    options: Mapping[str, Option],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> Iterator[Difference]:
    from pidsup.config.written import written

    for key, option in options.items():
        before, after = old[key], new[key]
        pairs = {key: (before, after)}
        if isinstance(before, dict) and isinstance(after, dict):  # variables, one by one
            entries = dict.fromkeys([*before, *after])
            pairs = {f"{key}.{each}": (before.get(each), after.get(each)) for each in entries}
        for name, (one, other) in pairs.items():
            if one != other:
                shown = written(option, one), written(option, other)
                yield found._replace(option=name, old=shown[0], new=shown[1], takes=option.applies)
