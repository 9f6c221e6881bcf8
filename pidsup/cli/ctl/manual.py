"""The manual pages, made from the tables of commands and of options: man(7).

`python -m pidsup.cli.ctl.manual DIRECTORY` writes pidsup.1, pidsupctl.1 and pidsup.toml.5;
the build does so.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from pidsup import __version__
from pidsup.cli.check import parser as pidsup_parser
from pidsup.cli.ctl.commands import ABOUT_SELECTORS, COMMANDS, ENVIRONMENT, EXIT_CODES, GLOBAL
from pidsup.cli.ctl.completion_pidsup import subparsers
from pidsup.cli.ctl.reference import own_options, spelled, synopsis
from pidsup.cli.ctl.usage import explained
from pidsup.config.option import REQUIRED, Option
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER
from pidsup.config.reference import as_toml


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    return {"pidsup.1": _pidsup(), "pidsupctl.1": _pidsupctl(), "pidsup.toml.5": _toml()}


def write(directory: Path) -> list[str]:
    """Write the pages, and return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in pages().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    return paths


# --- troff


def text(words: str) -> str:
    """Escape words for troff: a backslash, a hyphen that is a minus, a line's first mark."""
    escaped = " ".join(words.split()).replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _head(name: str, section: int, what: str) -> list[str]:
    built_at = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(built_at))
    return [
        f'.TH {name.upper()} {section} "{date}" "pidsup {__version__}"',
        ".SH NAME",
        f"{text(name)} \\- {text(what)}",
    ]


def _entry(term: str, *paragraphs: str) -> list[str]:
    """Return a term in bold, and what it means, indented."""
    lines = [".TP", f".B {text(term)}", text(paragraphs[0] if paragraphs else "")]
    for paragraph in paragraphs[1:]:
        lines += [".IP", text(paragraph)]
    return lines


def _example(lines: Iterable[str]) -> list[str]:
    shown = [line.replace("\\", "\\e").replace("-", "\\-") for line in lines]
    return [".PP", ".RS 4", ".nf", *("\\&" + line for line in shown), ".fi", ".RE"]


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


# --- the page of pidsupctl


def _pidsupctl() -> str:
    lines = _head("pidsupctl", 1, "steer a running pidsup supervisor")
    lines += [".SH SYNOPSIS", ".B pidsupctl", text("[OPTION...] COMMAND [ARGUMENT...]")]
    lines += [".SH DESCRIPTION", text("Asks and steers a supervisor, over its control socket.")]
    lines += [
        text(
            "It is the one that -n names, else PIDSUP_NAME, else the only one that runs.  "
            "Commands that change something return when it is done, or has failed."
        ),
        ".PP",
        text(ABOUT_SELECTORS),
        ".SH OPTIONS",
    ]
    for option in GLOBAL:
        lines += _entry(spelled(option), explained(option))
    lines += [
        *_entry("-h, --help", "explain it and exit"),
        *_entry("--version", "show it and exit"),
    ]
    lines.append(".SH COMMANDS")
    for command in COMMANDS.values():
        if command.hidden:
            continue
        lines += [
            f".SS {text(synopsis(command))}",
            text(f"{command.text[:1].upper()}{command.text[1:]}."),
        ]
        if command.more:
            lines.append(text(command.more))
        if command.aliases:
            lines.append(text(f"Also called: {', '.join(command.aliases)}."))
        for option in own_options(command):
            lines += _entry(spelled(option), explained(option))
        if command.examples:
            lines += _example(
                line + (f"   # {what}" if what else "") for line, what in command.examples
            )
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += _entry(str(code), meaning)
    lines.append(".SH ENVIRONMENT")
    for name, meaning in ENVIRONMENT.items():
        lines += _entry(name, meaning)
    lines += [
        ".SH FILES",
        *_entry("/run/pidsup/NAME/control.sock", "the socket of a supervisor of root"),
    ]
    lines += _entry("$XDG_RUNTIME_DIR/pidsup/NAME/control.sock", "of another user")
    return _page([*lines, ".SH SEE ALSO", ".BR pidsup (1),", ".BR pidsup.toml (5)"])


# --- the page of pidsup


def _pidsup() -> str:
    top = pidsup_parser()
    lines = _head("pidsup", 1, "keep groups of worker processes running")
    lines += [".SH SYNOPSIS", ".B pidsup", text("COMMAND [ARGUMENT...]"), ".SH DESCRIPTION"]
    lines.append(
        text(
            "A process supervisor for Linux: keeps groups of worker processes running inside one "
            "systemd service, one container or one terminal.  A configuration, see "
            "pidsup.toml(5), says what runs; pidsupctl(1) steers it."
        )
    )
    lines.append(".SH COMMANDS")
    for name, command in subparsers(top).items():
        usage = command.format_usage().removeprefix("usage: pidsup ")
        lines += [f".SS {text(usage)}", text(command.description or name)]
        for action in command._actions:  # noqa: SLF001  argparse has no other way
            if action.dest != "help":
                term = ", ".join(action.option_strings) or str(action.metavar or action.dest)
                value = f" {action.metavar}" if action.option_strings and action.metavar else ""
                lines += _entry(term + value, str(action.help or ""))
    lines.append(".SH EXIT STATUS")
    for code, meaning in (
        ("0", "ended as ordered"),
        ("1", "failed"),
        ("2", "wrong usage or configuration"),
    ):
        lines += _entry(code, meaning)
    lines += _entry("other", "give_up_exit_code, or the code of a critical watcher")
    return _page([*lines, ".SH SEE ALSO", ".BR pidsupctl (1),", ".BR pidsup.toml (5)"])


# --- the page of the configuration

_EXAMPLE = """[watchers.web]
command = ["python3", "-m", "shop.web", "--fd", "{sockets.http}"]
workers = 4
sockets = ["http"]

[sockets.http]
listen = "127.0.0.1:8080\""""


def _toml() -> str:
    lines = _head("pidsup.toml", 5, "configuration of pidsup")
    lines += [".SH DESCRIPTION"]
    lines.append(
        text(
            "A configuration is one TOML file, with drop-ins in NAME.d/ beside NAME.toml.  It is "
            "strict: what is not known or not of its kind is an error, all of them said in one go "
            'by pidsup check.  Durations are written as in systemd, "5s", "1min 30s", or in '
            'seconds; sizes as "512M", or in bytes.'
        )
    )
    lines += _example(_EXAMPLE.splitlines())
    for title, options in (
        ("[supervisor]", SUPERVISOR),
        ("[control]", CONTROL),
        ("[sockets.NAME]", SOCKET),
        ("[watchers.NAME]", WATCHER),
    ):
        lines.append(f".SH {text(title)}")
        for key, option in options.items():
            lines += _entry(key, _facts(option), option.text)
    return _page([*lines, ".SH SEE ALSO", ".BR pidsup (1),", ".BR pidsupctl (1)"])


def _facts(option: Option) -> str:
    facts = [option.kind.name]
    if option.default is REQUIRED:
        facts.append("required")
    elif option.default is not None:
        facts.append(f"default {as_toml(option.default)}")
    if option.systemd:
        facts.append(f"systemd: {option.systemd}")
    return "; ".join(facts)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
