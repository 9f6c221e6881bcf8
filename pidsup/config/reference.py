"""The reference page of the options, printed from their table.

`python -m pidsup.config.reference` prints what docs/configuration.md holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from pidsup.config.options import REQUIRED, SUPERVISOR, WATCHER, Option


def as_markdown() -> str:
    """Return both sections, an entry per option."""
    return _section("[supervisor]", SUPERVISOR) + "\n" + _section("[watchers.NAME]", WATCHER)


def _section(title: str, options: Mapping[str, Option]) -> str:
    parts = [f"## {title}\n"]
    for key, option in options.items():
        facts = [option.kind.name, _default(option)]
        if option.systemd:
            facts.append(f"systemd `{option.systemd}`")
        if option.circus:
            facts.append(f"Circus `{option.circus}`")
        parts.append(f"### {key}\n\n{' · '.join(facts)}\n\n{' '.join(option.text.split())}\n")
    return "\n".join(parts)


def _default(option: Option) -> str:
    default = option.default
    if default is REQUIRED:
        return "required"
    if default is None:
        return "no default"
    if option.kind.name == "duration":
        return f"default `{default:g}s`"
    if option.kind.name == "signal":
        return "default `TERM`"
    return f"default `{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(as_markdown(), end="")
