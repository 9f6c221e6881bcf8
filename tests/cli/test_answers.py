"""What logs, events, changes, explain, tree and stats print of what they are told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pidsup.cli.ctl import changes, changing, detail, events, explain, logs, stats, tree
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import Complaint
from pidsup.cli.ctl.logs import Writer
from pidsup.cli.ctl.terminal import Terminal
from pidsup.cli.ctl.waiting import came, is_there
from pidsup.cli.ctl.words import harmless
from tests.cli import canned
from tests.cli.canned import (
    COLOURED,
    IN_UTC,
    NARROW,
    PIPE,
    RELATIVE,
    change,
    down,
    line,
    process,
    slot,
    slot_stats,
    status,
    task,
    watcher,
)
from tests.support import wait_until

# --- logs


def written(
    capfdbinary: pytest.CaptureFixture[bytes], *lines: dict[str, Any], missed: int = 0, **given: Any
) -> bytes:
    defaults = {
        "output": "prefixed",
        "color": "never",
        "timestamps": False,
        "utc": False,
        "abs_time": False,
    }
    namespace = Given(**{**defaults, **given})
    Writer(namespace).write({"lines": list(lines), "missed": missed})
    return capfdbinary.readouterr().out


def test_lines_stand_behind_the_name_of_their_slot(capfdbinary: Any) -> None:
    out = written(capfdbinary, line("one"), line("two", "mailer:0"), line("three"))
    assert out == b"web:0 | one\nmailer:0 | two\nweb:0    | three\n"


def test_plain_is_what_was_written_byte_for_byte(capfdbinary: Any) -> None:
    binary = line(None, base64=base64.b64encode(b"\xff\x00\x1b[1m").decode())
    out = written(
        capfdbinary, line("one "), binary, line("par", partial=True), line("tial"), output="plain"
    )
    assert out == b"one \n\xff\x00\x1b[1m\npartial\n"


def test_json_is_a_line_per_line(capfdbinary: Any) -> None:
    out = written(capfdbinary, line("one"), line("two"), missed=9, output="json")
    assert [json.loads(row) for row in out.splitlines()] == [
        line("one"),
        line("two"),
        {"missed": 9},
    ]


def test_pieces_of_a_line_are_joined_unless_another_comes_between(capfdbinary: Any) -> None:
    pieces = [line("a", partial=True), line("b", partial=True), line("x", "web:1"), line("c")]
    assert written(capfdbinary, *pieces) == b"web:0 | ab\nweb:1 | x\nweb:0 | c\n"


def test_timestamps_are_put_before_the_slot(capfdbinary: Any) -> None:
    assert written(capfdbinary, line(), utc=True) == b"2001-09-09T01:46:40.250Z web:0 | hello\n"


def test_slots_have_colours_of_their_own(capfdbinary: Any) -> None:
    out = written(capfdbinary, line("x", "web:0"), line("x", "web:1"), color="always")
    first, second = out.splitlines()
    assert first.startswith(b"\x1b[3")
    assert first[:5] != second[:5]


EVIL = "a\tb\x1b[31mred\x1b]0;title\x07\r\x1b[2J\x9b5n"


@pytest.mark.parametrize(
    ("colours", "text"),
    [
        (True, "a\tb\x1b[31mred\\x1b]0;title\\x07\\r\\x1b[2J\\x9b5n\x1b[m"),
        (False, "a\tbred\\x1b]0;title\\x07\\r\\x1b[2J\\x9b5n"),
    ],
)
def test_a_worker_does_not_steer_the_terminal_of_who_looks(colours: bool, text: str) -> None:
    """Only colours pass, where they are wanted, and end with the line."""
    assert harmless(EVIL, colours=colours) == text
    last = canned.exit_(last_lines=["boom"])
    answer = status(watcher("web", down("web:1", last_exit=last), workers=3))
    terminal = COLOURED if colours else NARROW
    shown = detail.of_one(answer, Answering(EVIL), Given(), terminal, RELATIVE)  # type: ignore[arg-type]
    assert shown[-1].endswith(f" {text}")


def test_bytes_that_are_no_text_are_shown_on_a_terminal_and_passed_to_a_pipe(
    capfdbinary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = line(None, base64=base64.b64encode(b"\xff\x00\x1b[2J").decode())
    assert written(capfdbinary, binary) == b"web:0 | \xff\x00\x1b[2J\n"
    monkeypatch.setattr(logs, "standard_output", lambda _: NARROW)
    assert written(capfdbinary, binary) == rb"web:0 | \xff\x00\x1b[2J" + b"\n"


LEFT_OUT = "pidsupctl: {} of output left out: it came faster than it was read\n"


def flooded() -> Writer:
    given = Given(output="plain", color="never", timestamps=False, utc=False, abs_time=False)
    writer = Writer(given)
    for _ in range(100):
        writer.write({"lines": [], "missed": 1024})
    return writer


def test_what_was_left_out_is_said_at_once_and_in_sum_at_the_end(
    capfd: pytest.CaptureFixture[str],
) -> None:
    writer = flooded()
    assert capfd.readouterr().err == LEFT_OUT.format("1.0K")
    writer.close()
    assert capfd.readouterr().err == LEFT_OUT.format("99K")


def test_what_was_left_out_is_said_when_the_flood_is_over(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_REST_S", 0.2)
    writer = flooded()
    said = ""

    def has_all() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "99K" in said

    wait_until(has_all, "the sum")
    assert said == LEFT_OUT.format("1.0K") + LEFT_OUT.format("99K")
    writer.close()
    assert capfd.readouterr().err == ""


# --- events


def events_of(**answer: Any) -> list[str]:
    whole = {"kind": "events", "cursor": "x:5", "status": None, "events": [], "missed": 0, **answer}
    return events.worded(whole, PIPE, IN_UTC, here=False)


def test_events_are_lines() -> None:
    of_change = canned.event(
        "change", subject="12", state="done", change=change(task(), state="done"),
        reason="restart web by uid 4000000 (pidsupctl 44)",
    )  # fmt: skip
    assert events_of(events=[
        canned.event(pid=44),
        canned.event(state="backoff", reason="exited with 1", due_s=1.62),
        canned.event("watcher", subject="web", state="running", running=True, workers=5),
        canned.event("watcher", subject="web", state="stopped", running=False, workers=4,
                     reason="stop web by uid 0 (pidsupctl 21720)"),
        of_change,
    ]) == [
        "2001-09-09T01:46:40.250Z  web:0           ready       pid 44",
        "2001-09-09T01:46:40.250Z  web:0           backoff     exited with 1  retry in 1.6s",
        "2001-09-09T01:46:40.250Z  web             wanted      running, 5 workers",
        ("2001-09-09T01:46:40.250Z  web             wanted      stopped; 4 workers when it is "
        "started  stop web by uid 0 (pidsupctl 21720)"),
        ("2001-09-09T01:46:40.250Z  change 12       done        restart web  "
        "by uid 4000000 (pidsupctl)  1 of 1"),
    ]  # fmt: skip


def test_a_gap_and_a_snapshot_are_said() -> None:
    assert events_of(kind="gap", missed=7) == [
        "7 events missed: they came faster than they were read"
    ]
    known = status(watcher("web", slot(), down("web:1")))
    assert events_of(kind="snapshot", status=known) == [
        "shop: 1 watcher, 1 of 2 workers ready; cursor x:5"
    ]


# --- changes

OVER = {"state": "failed", "ended_at": 1_000_000_003.5}


def test_changes_are_a_table() -> None:
    made = [
        change(task(), state="done", ended_at=1_000_000_000.25, id="9"),
        change(task(state="failed"), **OVER),
    ]
    assert changes.as_table(made, PIPE, IN_UTC, here=False) == [
        "ID  STATE   WHAT         BY                       WHEN                  TOOK  SLOTS",
        " 9  done    restart web  uid 4000000 (pidsupctl)  2001-09-09T01:46:40Z  0.2s    1/1",
        "12  failed  restart web  uid 4000000 (pidsupctl)  2001-09-09T01:46:40Z  3.5s    1/1",
    ]


def test_one_change_has_its_tasks() -> None:
    made = change(task(), task("web:1", "failed", "exited with 1"), **OVER, total=2)
    assert changes.in_detail(made, PIPE, IN_UTC, here=False) == [
        "change 12: restart web  failed",
        "  asked by uid 4000000 (pidsupctl), pid 44, 2001-09-09T01:46:40Z; took 3.5s",
        "  2 of 2 slots are over",
        "  web:0  done",
        "  web:1  failed      exited with 1",
    ]


# --- explain, tree, stats, detail


def test_explanations_are_paragraphs_as_wide_as_the_terminal() -> None:
    one = {"name": "web:0", "state": "backoff", "why": ["It is to run.", "word " * 30]}
    shown = explain.lines({"explanations": [one]}, NARROW)
    assert shown[:2] == ["web:0  backoff", "  It is to run."]
    assert max(map(len, shown)) <= 80
    assert len(explain.lines({"explanations": [one]}, PIPE)) == 3


FAMILY = canned.stats(
    slot_stats("web:0", process(10), process(11, 10, threads=3), process(12, 11), process(13, 10)),
    slot_stats("web:1", state="stopped", up_s=None),
)


def test_processes_are_drawn_as_a_tree() -> None:
    assert tree.lines(FAMILY, PIPE) == [
        "web:0  ready",
        "└─ 10 python3 -m shop  (www, S, 24M)",
        "   ├─ 11 python3 -m shop  (www, S, 24M, 3 threads)",
        "   │  └─ 12 python3 -m shop  (www, S, 24M)",
        "   └─ 13 python3 -m shop  (www, S, 24M)",
        "web:1  stopped",
    ]


def test_a_tree_is_drawn_without_unicode_too() -> None:
    shown = tree.lines(FAMILY, Terminal(None, unicode=False))
    assert shown[2:4] == [
        "   |- 11 python3 -m shop  (www, S, 24M, 3 threads)",
        "   |  `- 12 python3 -m shop  (www, S, 24M)",
    ]


def test_a_long_command_is_cut_to_the_terminal() -> None:
    long = canned.stats(slot_stats("web:0", process(10, command=["x" * 300, "\x1b[2J"])))
    shown = tree.lines(long, NARROW)[1]
    assert len(shown) <= 80
    assert shown.endswith("(www, S, 24M)")
    assert "\x1b" not in "".join(tree.lines(long, PIPE))


def test_stats_are_a_table_with_totals() -> None:
    assert stats.lines(FAMILY, PIPE) == [
        "SLOT   STATE    PID    UP  PROCS  THREADS  CPU TIME  MEM  RESTARTS",
        "web:0  ready     10  3.0s      4        6      6.0s  96M         0",
        "web:1  stopped                 0        0      0.0s   0B         0",
        "total                          4        6      6.0s  96M         0",
    ]


class Answering:
    """Answers Logs."""

    def __init__(self, text: str = "boom") -> None:
        self._text = text

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert (method, parameters["selectors"]) == ("Logs", ["web:1"])
        return {"lines": [line(self._text, "web:1", stream="stderr")], "missed": 0}


def test_one_slot_is_shown_in_detail_with_its_last_output() -> None:
    last = canned.exit_(last_lines=["boom"])
    failing = down("web:1", reason="exited with 1", due_s=2.0, restarts=4, last_exit=last)
    answer = status(watcher("web", failing, workers=3))
    shown = detail.of_one(answer, Answering(), Given(), PIPE, RELATIVE)  # type: ignore[arg-type]
    assert shown == [
        "web:1  backoff",
        "  wanted      yes",
        "  since       3.0s ago",
        "  reason      exited with 1",
        "  retry       in 2.0s",
        "  generation  1",
        "  restarts    4",
        "  last exit   exited with 1, after 3.0s, cpu 0.3s",
        "",
        "web:1 | boom",
    ]


def test_a_long_reason_is_shown_in_full_in_detail() -> None:
    trouble = (
        "cannot write /var/log/shop/a-long-name-of-a-file.log: No space left on device, for 4 s"
    )
    failing = slot("web:1", output_trouble=trouble)
    answer = status(watcher("web", failing, workers=3))
    shown = detail.of_one(answer, Answering(), Given(), NARROW, RELATIVE)  # type: ignore[arg-type]
    assert shown[6:8] == [
        "  output      cannot write /var/log/shop/a-long-name-of-a-file.log: No space",
        "                left on device, for 4 s",
    ]


def test_colour_is_only_where_it_is_wanted() -> None:
    assert "\x1b[32mready\x1b[m" in tree.lines(FAMILY, COLOURED)[0]
    assert "\x1b" not in "".join(tree.lines(FAMILY, NARROW))


# --- changing


def test_scale_takes_watchers() -> None:
    with pytest.raises(Complaint, match="scale takes watchers, not slots: 'w', not 'w:1'") as end:
        changing.scale(Given(watchers=["v", "w:1"], count="3"), Answering())  # type: ignore[arg-type]
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"workers": 0}, "web is scaled to 0 (pidsupctl scale web 1 is more)"),
        ({"workers": 2}, "web has 2 workers"),
        ({"workers": 2, "running": False}, "web is stopped; started, it has 2 workers"),
    ],
)
def test_nothing_to_do_says_why(facts: dict[str, Any], said: str) -> None:
    made = change(kind="start", state="done")
    assert (
        changing.nothing_to_do(made, [watcher("web", **facts)]) == f"start: nothing to do, {said}"
    )


# --- wait


@pytest.mark.parametrize(
    ("what", "answer", "there"),
    [
        ("ready", status(watcher("w", slot())), True),
        ("ready", status(watcher("w", slot(state="starting"))), False),
        ("ready", status(watcher("w", slot(), down(state="stopped", wanted=False))), True),
        ("ready", status(watcher("w", down(state="completed"))), True),
        ("down", status(watcher("w", slot())), False),
        ("down", status(watcher("w", down(state="stopped"), down(state="failed"))), True),
        ("wanted", status(watcher("w", down(state="stopped", wanted=False))), True),
        ("wanted", status(watcher("w", slot(wanted=False))), False),
    ],
)
def test_wait_knows_what_it_waits_for(what: str, answer: dict[str, Any], there: bool) -> None:
    assert is_there(what, answer) is there


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["completed"], "completed"),
        (["completed", "completed"], "completed"),
        (["ready", "ready"], "ready"),
        (["ready", "completed", "ready"], "2 ready, 1 completed"),
    ],
)
def test_wait_says_what_has_come(states: list[str], said: str) -> None:
    slots = [slot(f"w:{n}", state=state) for n, state in enumerate(states)]
    assert came("ready", status(watcher("w", *slots))) == said
    assert came("wanted", status(watcher("w", *slots))) == "wanted"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            status(watcher("w", down("w:0", "failed", reason="given up"))),
            "w:0 has failed: given up",
        ),
        (status(watcher("w", down("w:0", "stopped", wanted=False))), "none of it is wanted"),
    ],
)
def test_wait_gives_up_what_cannot_come(answer: dict[str, Any], why: str) -> None:
    with pytest.raises(Complaint, match=why):
        is_there("ready", answer)
