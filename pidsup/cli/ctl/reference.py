"""The commands explained: `pidsupctl help`, and docs/commands.md.

`python -m pidsup.cli.ctl.reference` prints what docs/commands.md holds.
"""

from __future__ import annotations

import sys

from pidsup.cli.ctl.arguments import Given, options_of
from pidsup.cli.ctl.commands import (
    COMMANDS,
    ENVIRONMENT,
    EXIT_CODES,
    GLOBAL,
    Argument,
    Command,
    Option,
    find,
)
from pidsup.cli.ctl.endings import OK, USAGE, Complaint
from pidsup.cli.ctl.usage import explained, list_of_commands, parse_slowly, parser_of


def show(given: Given) -> int:
    """Explain one command, or list them."""
    topic = given.command
    if topic is None:
        parse_slowly(["--help"])
    command = find(topic)
    if command is None:
        raise Complaint(f"there is no command {topic!r}; they are:\n{list_of_commands()}", USAGE)
    parser_of(command).print_help()
    return OK


# --- how a command is written, here and in the manual page


def synopsis(command: Command) -> str:
    """Return its usage: "logs [OPTION...] [SELECTOR...]"."""
    words = [command.name]
    if command.options or command.outputs:
        words.append("[OPTION...]")
    words += [_written(argument) for argument in command.arguments]
    if command.passes_on:
        words.append(f"[-- OPTION of {command.passes_on}...]")
    return " ".join(words)


def _written(argument: Argument) -> str:
    return {"": "{}", "?": "[{}]", "*": "[{}...]", "+": "{}...", "...": "[{} [ARGUMENT...]]"}[
        argument.many
    ].format(argument.name)


def own_options(command: Command) -> list[Option]:
    """Return its options, -o among them, without the global ones."""
    return [option for option, _ in options_of(command) if option not in GLOBAL]


def spelled(option: Option) -> str:
    """Return an option as it is typed: "--timeout TIME"."""
    value = option.value or "|".join(option.choices)
    return ", ".join(option.flags) + (f" {value}" if value else "")


# --- docs/commands.md

_HEAD = """# Commands of pidsupctl

`pidsupctl` steers a running supervisor, over its control socket. This page is made from the
table of commands; `pidsupctl help COMMAND` and `man pidsupctl` say the same. For the program
`pidsup` itself see `pidsup --help`.

## What all commands share

**Selectors.** `web` is a watcher, with all its slots; `web:3` is one slot; wildcards match
both: `'w*'`, `'web:*'`, `'*'`. Quote them, or the shell may take them for files.

**Which supervisor.** The one that `-n NAME` names, else `PIDSUP_NAME`, else the only one that
runs. There must be no doubt: where several run they are listed. Root's `pidsupctl` finds
the supervisors of users by `-n`, a user's finds root's, and `--socket PATH` finds any. What
you may do there is up to `[control]` of its configuration.

**Another machine.** `-H [USER@]HOST[:PORT]` runs `pidsupctl stdio` there by ssh and talks
through it; every command, stream and exit code works as here. Nothing listens on a network.
`PIDSUP_SSH` replaces `ssh`, with arguments: `PIDSUP_SSH="ssh -i key"`.

**Waiting.** What changes something returns when it is done, or has failed, and the exit code
says which. On a terminal its progress is drawn meanwhile, and who keeps it waiting is said
after two seconds. `--no-wait` returns at once, `--timeout` gives up waiting; Ctrl-C, too.
The change goes on in each case: `pidsupctl changes`.

**Output.** `-o` stands before the command or behind it. `-o table` is for people and may
change; `-o json` prints exactly the objects of the
[interface](../pidsup/control/org.pidsup.Supervisor.varlink), with `"schema": 1`, to which
fields are only ever added; streams print an object per line. Lines are as wide as the
terminal; in a pipe nothing is broken or cut. Colour is used on a terminal only, unless
`--color` says otherwise, and not where `NO_COLOR` is set. Times are relative;
`--abs-time` and `--utc` show dates.
"""


def as_markdown() -> str:
    """Return the page."""
    shown = [command for command in COMMANDS.values() if not command.hidden]
    parts = [
        _HEAD,
        "## Options of all commands\n",
        _options(GLOBAL),
        "## Exit codes\n",
        _rows("code", "meaning", {str(code): text for code, text in EXIT_CODES.items()}),
        "## Environment\n",
        _rows("variable", "meaning", {f"`{key}`": text for key, text in ENVIRONMENT.items()}),
        "## The commands\n",
        _rows("command", "", {f"[{c.name}](#{c.name})": c.text for c in shown}),
        *map(_section, shown),
    ]
    return "\n".join(parts)


def _rows(left: str, right: str, rows: dict[str, str]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|"]
    lines += [f"| {key} | {text.replace('|', chr(92) + '|')} |" for key, text in rows.items()]
    return "\n".join(lines) + "\n"


def _options(options: object) -> str:
    assert isinstance(options, tuple | list)  # noqa: S101  of class Option
    return _rows(
        "option", "", {f"`{spelled(o)}`".replace("|", "\\|"): explained(o) for o in options}
    )


def _section(command: Command) -> str:
    text = f"{command.text[0].upper()}{command.text[1:]}."
    parts = [f"### {command.name}\n", f"`pidsupctl {synopsis(command)}`\n", f"{text}\n"]
    if command.more:
        parts.append(" ".join(command.more.split()) + "\n")
    options = own_options(command)
    if options:
        parts.append(_options(options))
    if command.aliases:
        parts.append(f"Also called: {', '.join(f'`{alias}`' for alias in command.aliases)}.\n")
    if command.examples:
        lines = [f"$ {line}{f'  # {what}' if what else ''}" for line, what in command.examples]
        parts.append("```console\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
