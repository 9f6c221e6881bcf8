"""What stands before the command: the global options, and -o."""

from __future__ import annotations

from collections.abc import Sequence

from pidsup.cli.ctl.commands import LEADING

_OPTIONS = {flag: option for option in LEADING for flag in option.flags}


def split(words: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Return these options as "--name=value", and the words from the command on.

    What is none of them, or lacks its value, counts as from the command on.
    """
    before = []
    at = 0
    while at < len(words) and words[at].startswith("-"):
        flag, equals, value = words[at].partition("=")
        short = _OPTIONS.get(words[at][:2])
        option = _OPTIONS.get(flag)
        if option is None and short is not None:  # -nNAME
            option, equals, value = short, "=", words[at][2:]
        if option is None or (not equals and at + 1 == len(words)):
            break
        if not equals:
            at += 1
            value = words[at]
        before.append(f"{option.flags[-1]}={value}")
        at += 1
    return before, words[at:]
