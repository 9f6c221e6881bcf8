"""The reference page of the options, printed from their table.

`python -m pidsup.config.reference` prints what docs/configuration.md holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from pidsup.config.option import AT_LOAD, AT_START, REQUIRED, Option
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER

_APPLIES = {
    "live": "a change applies at once",
    "restart": "a change restarts the workers",
    "reopen": "a change opens the socket anew",
    "never": "cannot change while the supervisor runs",
}
_FILLS = {AT_START: "placeholders", AT_LOAD: "placeholders `{env.NAME}`", "": ""}


def as_markdown() -> str:
    """Return all four sections, an entry per option."""
    return "\n".join(
        (
            _section("[supervisor]", SUPERVISOR),
            _section("[control]", CONTROL),
            _section("[sockets.NAME]", SOCKET),
            _section("[watchers.NAME]", WATCHER),
        )
    )


def _section(title: str, options: Mapping[str, Option]) -> str:
    parts = [f"## {title}\n"]
    for part, of_part in groupby(options.items(), lambda item: item[1].part):
        if part:
            parts.append(f"### {part}\n")
        parts += [_entry("####" if part else "###", key, option) for key, option in of_part]
    return "\n".join(parts)


def _entry(heading: str, key: str, option: Option) -> str:
    facts = [option.kind.name, _default(option), _FILLS[option.fills], _APPLIES[option.applies]]
    if option.systemd:
        facts.append(f"systemd `{option.systemd}`")
    if option.circus:
        facts.append(f"Circus `{option.circus}`")
    line = " · ".join(filter(None, facts))
    return f"{heading} {key}\n\n{line}\n\n{' '.join(option.text.split())}\n"


def _default(option: Option) -> str:
    if option.default is REQUIRED:
        return "required"
    if option.default is None:
        return "no default"
    return f"default `{as_toml(option.default)}`"


def as_toml(value: object) -> str:
    """Write a default as a file would."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(as_markdown(), end="")
