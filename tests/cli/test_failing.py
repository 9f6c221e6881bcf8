"""What is kept of what a reader of the configuration says on its way out."""

from __future__ import annotations

import io
import traceback

import pytest

from pidsup.cli.failing import Overheard


def crash() -> str:
    """Return what a bug looks like on stderr."""
    try:
        return str(int("bug"))
    except ValueError:
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", ""),
        ("warning: a\nit.toml:2: watchers.web.command: is missing\nit.toml:9: b\n",
         "it.toml:2: watchers.web.command: is missing"),
        ("usage: pidsup run [-h] -c FILE\n                  [--x]\npidsup run: error: no FILE\n",
         "pidsup run: error: no FILE"),
        (crash(), "ValueError: invalid literal for int() with base 10: 'bug'"),
    ],
)  # fmt: skip
def test_the_reason_is_the_first_line_that_is_to_the_point(said: str, reason: str) -> None:
    file = io.StringIO()
    overheard = Overheard(file)
    for line in said.splitlines(keepends=True):
        overheard.write(line)
    assert overheard.reason() == reason
    assert file.getvalue() == said


def test_a_closed_stderr_is_no_obstacle() -> None:
    overheard = Overheard(None)
    assert overheard.write("why\n") == len("why\n")
    overheard.flush()
    assert overheard.reason() == "why"
