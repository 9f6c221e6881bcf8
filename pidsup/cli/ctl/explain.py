"""`pidsupctl explain`: why things are as they are."""

from __future__ import annotations

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, put_as_asked
from pidsup.cli.ctl.words import clean
from pidsup.client import CallFailed, Client
from pidsup.control.protocol import Message

_ILL = ("backoff", "failed")
_MOST = 50


def run(given: Given, client: Client) -> int:
    """Print the supervisor's sentences."""
    answer = client.call("Explain", within_s=PATIENCE_S, selectors=given.selectors or None)
    if given.output != "json":
        _add_last_words(given, client, answer["explanations"])
    put_as_asked(given, answer, lines)
    return OK


def _add_last_words(given: Given, client: Client, explanations: list[Message]) -> None:
    """Tell what slots that have failed wrote last, where only the journal knows it."""
    ill = [one for one in explanations if ":" in one["name"] and one["state"] in _ILL]
    if not ill:
        return
    names = [one["name"] for one in ill[:_MOST]]
    try:
        status = client.call("Status", within_s=PATIENCE_S, selectors=names)
    except CallFailed:  # a slot has gone in between
        return
    from pidsup.cli.ctl import last_words

    found = last_words.add(given, status)
    for one in ill:
        if found.get(one["name"]):
            one["why"] += ["The last that it wrote:", *(f"  {t}" for t in found[one["name"]])]


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
