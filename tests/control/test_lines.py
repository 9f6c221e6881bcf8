"""Output as answers: what is in them, and how much of it a turn makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pidsup.control.lines import LineStream, all_at_once, line_facts
from pidsup.errors import Invalid
from pidsup.output.follower import Line
from pidsup.supervisor.selectors import Filter


class Written:
    """A follower of what a test has written."""

    def __init__(self, *pieces: list[Line], missed: int = 0) -> None:
        self.over = False
        self.closed = False
        self.added: list[str] = []
        self.waits: Callable[[], object] | None = None
        self._pieces = list(pieces)
        self._missed = missed

    def take(self, _most_bytes: int) -> tuple[list[Line], int]:
        missed, self._missed = self._missed, 0
        lines = self._pieces.pop(0) if self._pieces else []
        self.over = not self._pieces
        return lines, missed

    def when_more(self, callback: Callable[[], object]) -> None:
        self.waits = callback

    def add(self, slot: str, _rings: object) -> None:
        self.added.append(slot)

    def close(self) -> None:
        self.closed = True


def line(data: bytes = b"text", **how: Any) -> Line:
    return Line(**{"slot": "web:0", "serial": 7, "stream": "stdout", "at": 1.5, "data": data,
                   "partial": False, **how})  # fmt: skip


def told(answer: bytes | None) -> Any:
    assert answer is not None
    assert answer.endswith(b"\0")
    return json.loads(answer[:-1])


def test_a_line_is_text_or_base64() -> None:
    """Whatever a worker writes: nothing is altered, nothing is guessed."""
    for data in (b"", b"plain", "grün\t\x1b[1m".encode(), b"nul \0 in it"):
        assert line_facts(line(data))["text"].encode() == data
        assert line_facts(line(data))["base64"] is None
    assert line_facts(line(b"\xff\xfe"))["base64"] == "//4="
    assert line_facts(line(b"\xff\xfe"))["text"] is None
    facts = line_facts(line(stream="stderr", partial=True))
    assert (facts["stream"], facts["partial"], facts["serial"]) == ("stderr", True, 7)


def test_a_flood_of_empty_lines_is_made_over_many_turns() -> None:
    """A read of a pipe can have 16,000 of them."""
    stream = LineStream(Written([line(b"")] * 1600), more_of=None)  # type: ignore[arg-type]  # as good as a Follower
    counts: list[int] = []
    while not stream.over:
        answer = told(stream.next())
        counts.append(len(answer["parameters"]["lines"]))
        assert answer.get("continues", False) is not stream.over
    assert counts == [500, 500, 500, 100]


def test_what_was_missed_is_said_once() -> None:
    stream = LineStream(Written([line()], [line()], missed=77), more_of=None)  # type: ignore[arg-type]
    answers = [told(stream.next())["parameters"] for _ in range(2)]
    assert [answer["missed"] for answer in answers] == [77, 0]


def test_who_has_read_all_waits_for_more() -> None:
    written = Written([line()], [], [line()])
    stream = LineStream(written, more_of=None)  # type: ignore[arg-type]
    stream.begin(bool)
    assert told(stream.next())["continues"]
    assert stream.next() is None
    assert written.waits is bool
    assert "continues" not in told(stream.next())


def test_all_at_once_is_one_answer() -> None:
    written = Written([line(b"a"), line(b"b")], [], [line(b"c")], missed=5)
    *slices, answer = all_at_once(written)  # type: ignore[arg-type]
    assert set(slices) == {None}
    parameters = told(answer)["parameters"]
    assert [one["text"] for one in parameters["lines"]] == ["a", "b", "c"]
    assert parameters["missed"] == 5
    assert written.closed


def test_too_much_for_one_answer_is_refused() -> None:
    """Counted as it is sent: short lines have long names."""
    written = Written(*([line(b"")] * 400 for _ in range(200)))
    with pytest.raises(Invalid, match="too much for one answer"):
        list(all_at_once(written))  # type: ignore[arg-type]
    assert written.closed


def test_slots_that_start_later_are_followed_if_they_are_selected() -> None:
    class Outputs:
        def __init__(self) -> None:
            self.on_opened: dict[Callable[[Any], object], None] = {}

        def open(self, name: str) -> None:
            for hears in list(self.on_opened):
                hears(type("Opened", (), {"name": name, "rings": ()})())

    outputs, written = Outputs(), Written()
    stream = LineStream(written, more_of=(outputs, Filter(["web"])))  # type: ignore[arg-type]
    for name in ("web:1", "db:0", "web:2"):
        outputs.open(name)
    assert written.added == ["web:1", "web:2"]
    stream.close()
    stream.close()
    outputs.open("web:3")
    assert written.added == ["web:1", "web:2"]
    assert outputs.on_opened == {}
