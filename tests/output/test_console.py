"""The output of workers on a terminal, which they must not steer; and in a pipe, as it is."""

from __future__ import annotations

import json
import os
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidsup.output.outputs import Outputs
from tests.output.box import Box
from tests.support import EpollDriver, read_some

EVIL = b"a\tb\x1b[31mred\x1b]0;title\x07\x1b[2J\x9b5n\xc2\x9b6n \xc3\xa9"

Screen = Callable[..., bytes]


@pytest.fixture
def on_terminal(epoll_driver: EpollDriver) -> Iterator[Screen]:
    """Return a function that runs a script as a worker, and returns what its terminal gets."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    boxes = []

    def run(script: str, console_format: str = "prefixed") -> bytes:
        box = Box(epoll_driver)
        boxes.append(box)
        box.outputs = Outputs(
            epoll_driver.loop, box.log, console_format=console_format, console_fds=(theirs, theirs)
        )
        box.run(box.slot(stdout="console"), script)
        box.close()
        seen = b""
        while not seen.endswith(b"\n"):
            seen += read_some(ours)
        return seen

    yield run
    for box in boxes:
        box.close()
    os.close(ours)
    os.close(theirs)


def printf(data: bytes) -> str:
    """Return the script that writes a line."""
    return "printf '" + "".join(f"\\{byte:03o}" for byte in data) + "\\n'"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_worker_does_not_steer_the_terminal_of_the_supervisor(on_terminal: Screen) -> None:
    """Colours stay, and end with the line; all else is shown."""
    text = "a\tb\x1b[31mred\\x1b]0;title\\x07\\x1b[2J\\x9b5n\\x9b6n é\x1b[m\n"
    assert on_terminal(printf(EVIL)) == b"\x1b[36mweb:0 |\x1b[0m " + text.encode()


def test_without_colours_none_pass(on_terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = "web:0 | a\tbred\\x1b]0;title\\x07\\x1b[2J\\x9b5n\\x9b6n é\n"
    assert on_terminal(printf(EVIL)) == text.encode()


def test_json_lines_on_a_terminal_are_ascii_and_say_the_same(on_terminal: Screen) -> None:
    """JSON leaves DEL, and what follows it, as it is; to a terminal some of that means much."""
    evil = EVIL.replace(b"\x9b5n", b"", 1) + b"\x7f"
    seen = on_terminal(printf(evil), "json")
    assert all(32 <= byte < 127 for byte in seen[:-1])
    assert json.loads(seen)["text"] == evil.decode()


def test_a_line_that_is_never_ended_is_harmless_too(on_terminal: Screen) -> None:
    assert on_terminal(r"printf 'a\033[2J'").endswith(b" a\\x1b[2J\\\n")


def test_in_a_pipe_the_bytes_stay(box: Box) -> None:
    box.run(box.slot(stdout="console"), printf(EVIL))
    box.settle()
    assert box.stdout.read() == b"web:0 | " + EVIL + b"\n"


def test_a_long_name_does_not_move_the_lines_of_others(box: Box) -> None:
    """It is written in full."""
    names = ["w" * 24, "x" * 25, "web:0"]
    slots = [box.slot(name, stdout="console") for name in names]
    for slot in slots:
        box.run(slot, "echo hello")
        box.settle()
    assert box.stdout.read().decode().splitlines() == [
        f"{'w' * 24} | hello",
        f"{'x' * 25} | hello",
        f"{'web:0':24} | hello",
    ]


def test_a_long_name_alone_is_written(box: Box) -> None:
    box.run(box.slot("x" * 70, stdout="console"), "echo hello")
    box.settle()
    assert box.stdout.read() == b"x" * 70 + b" | hello\n"


def test_a_console_that_can_be_written_again_is_in_no_trouble(
    epoll_driver: EpollDriver, tmp_path: Path
) -> None:
    """A pipe with a name, whose reader has ended and comes back."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader, into = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), os.open(pipe, os.O_WRONLY)
    box = Box(epoll_driver)
    box.outputs = Outputs(epoll_driver.loop, box.log, console_fds=(into, into))
    slot = box.slot(stdout="console")
    os.close(reader)
    box.run(slot, "echo lost")
    box.until(lambda: slot.trouble)
    assert slot.trouble.startswith("cannot write to the supervisor's own output: Broken pipe, for ")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    box.run(slot, "echo kept")
    box.until(lambda: not slot.trouble)
    assert os.read(reader, 99) == b"web:0 | kept\n"
    box.close()
    os.close(reader)
    os.close(into)
