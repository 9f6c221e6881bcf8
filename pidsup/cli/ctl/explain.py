"""`pidsupctl explain`: why things are as they are."""

from __future__ import annotations

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, put_as_asked
from pidsup.cli.ctl.words import clean
from pidsup.client import Client
from pidsup.control.protocol import Message


def run(given: Given, client: Client) -> int:
    """Print the supervisor's sentences."""
    answer = client.call("Explain", within_s=PATIENCE_S, selectors=given.selectors or None)
    put_as_asked(given, answer, lines)
    return OK


def lines(answer: Message, terminal: Terminal) -> list[str]:
    """Return a paragraph per explanation."""
    shown: list[str] = []
    for one in answer["explanations"]:
        shown.append(f"{terminal.paint('bold', one['name'])}  {terminal.state(one['state'])}")
        for sentence in one["why"]:
            shown += _indented(clean(sentence), terminal)
    return shown


def _indented(sentence: str, terminal: Terminal) -> list[str]:
    if terminal.columns is None:
        return [f"  {sentence}"]
    from textwrap import wrap

    return wrap(sentence, max(30, terminal.columns), initial_indent="  ", subsequent_indent="    ")
