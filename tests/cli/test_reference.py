"""The documentation made from the tables: help, docs/commands.md, manual pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pidsup.cli.ctl import manual, reference
from pidsup.cli.ctl.commands import COMMANDS
from pidsup.config.options import WATCHER


def needs(program: str) -> str:
    """Return where a program is; CI must have it, elsewhere the test is skipped, loudly."""
    path = shutil.which(program)
    if path is None:
        assert not os.environ.get("CI"), f"{program} is missing: .ci/setup tools installs it"
        pytest.skip(f"*** needs {program}: .ci/setup tools installs it ***")
    return path


def test_the_page_of_commands_is_what_the_table_says() -> None:
    """Make it anew: python -m pidsup.cli.ctl.reference > docs/commands.md."""
    assert Path("docs/commands.md").read_text() == reference.as_markdown()


def test_the_page_has_every_command_and_no_hidden_one() -> None:
    page = reference.as_markdown()
    for name, command in COMMANDS.items():
        assert (f"\n### {name}\n" in page) is not command.hidden


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("man")
    manual.write(directory)
    return sorted(directory.iterdir())


def test_there_is_a_page_for_each_program_and_the_configuration(pages: list[Path]) -> None:
    assert [page.name for page in pages] == ["pidsup.1", "pidsup.toml.5", "pidsupctl.1"]


def test_the_pages_are_made_before_there_is_an_extension() -> None:
    """By setup.py, on a machine that has not built it yet."""
    code = (
        "import sys; sys.modules['pidsup.linux._native'] = None; "
        "from pidsup.cli.ctl import manual; print(*manual.pages())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"pidsup.1 pidsupctl.1 pidsup.toml.5\n", b"")


def test_mandoc_has_nothing_to_say_about_the_pages(pages: list[Path]) -> None:
    command = [needs("mandoc"), "-Tlint", "-Wwarning", *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def shown(page: Path) -> str:
    """Return a page as a reader sees it."""
    command = [needs("groff"), "-ww", "-man", "-Tascii", "-P-cbou", "-rLL=100n", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return " ".join(done.stdout.split())


def test_the_page_of_pidsupctl_has_all_commands_and_options(pages: list[Path]) -> None:
    text = shown(pages[2])
    for command in COMMANDS.values():
        if not command.hidden:
            assert reference.synopsis(command) in text
            for option in command.options:
                assert ", ".join(option.flags) in text
    assert "'web:*'" in text, "a quote at the start of a line is not lost"


def test_the_page_of_the_configuration_has_all_options(pages: list[Path]) -> None:
    text = shown(pages[1])
    assert all(key in text for key in WATCHER)


def test_the_page_of_pidsup_has_its_commands(pages: list[Path]) -> None:
    text = shown(pages[0])
    assert all(word in text for word in ("run", "check", "exec", "--config FILE"))
