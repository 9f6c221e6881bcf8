"""The log in the journal: which fields an entry has, and that it never stalls anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pidsup.kernel import LINUX, Exit
from pidsup.log.journal import JournalLog
from pidsup.log.messages import MESSAGES
from pidsup.process.exit import report
from pidsup.systemd.journal import Entries
from tests.support import EpollDriver, run_until, unblocked_by
from tests.systemd.journald import Journald

MOST_RECORDS = 4096


class Ends:
    """A log, and the journald that it writes to.  Owns both."""

    def __init__(self, driver: EpollDriver, directory: Path) -> None:
        self.driver = driver
        self.journald = Journald(directory)
        always = {"PIDSUP_NAME": "shop", "UNIT": "shop.service"}
        entries = Entries(self.journald.journal)
        self.log = JournalLog(driver.loop, LINUX, entries, always=always)
        self.fd = entries.fileno()

    def settle(self) -> None:
        for _ in range(6):
            self.driver.turn(lambda: True)

    def entries(self) -> list[dict[str, str]]:
        self.settle()
        return [
            {name: value.decode() for name, value in entry.items()}
            for entry in self.journald.entries()
        ]

    def entry(self) -> dict[str, str]:
        (one,) = self.entries()
        return one

    def drain(self, count: int) -> list[dict[str, str]]:
        """Read *count* entries, as they come."""
        found: list[dict[str, str]] = []

        def come() -> bool:
            found.extend(self.entries())
            return len(found) >= count

        run_until(self.driver, come)
        return found

    def fill(self) -> int:
        """Leave no room; return how many entries that took."""
        entries, count = Entries(self.journald.journal), 0
        try:
            while True:
                entries.send(b"MESSAGE=filler\n")
                count += 1
        except BlockingIOError:
            return count
        finally:
            entries.close()


@pytest.fixture
def ends(epoll_driver: EpollDriver, tmp_path: Path) -> Iterator[Ends]:
    one = Ends(epoll_driver, tmp_path / "journal")
    yield one
    one.log.close()
    one.journald.close()


# --- fields


def test_an_entry_says_what_a_line_says_and_each_fact_by_itself(ends: Ends) -> None:
    """People read the one, programs look for the other."""
    ends.log.warning("cannot start worker", slot="web:3", why="exec 'x': No such file", next="soon")
    entry = ends.entry()
    assert entry == {
        "MESSAGE": "cannot start worker slot=web:3 why=\"exec 'x': No such file\" next=soon",
        "MESSAGE_ID": MESSAGES["cannot start worker"].id,
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "pidsup",
        "PIDSUP_NAME": "shop",
        "UNIT": "shop.service",
        "PIDSUP_SLOT": "web:3",
        "PIDSUP_WATCHER": "web",
        "PIDSUP_WHY": "exec 'x': No such file",
        "PIDSUP_NEXT": "soon",
    }


def test_what_only_programs_want_is_in_no_message(ends: Ends) -> None:
    """Lines stay as short as they are."""
    ends.log.info("worker started", slot="web:3", pid=42, serial=41, generation=2)
    entry = ends.entry()
    assert entry["MESSAGE"] == "worker started slot=web:3 pid=42"
    assert (entry["PIDSUP_PID"], entry["PIDSUP_SERIAL"], entry["PIDSUP_GENERATION"]) == (
        "42",
        "41",
        "2",
    )
    assert "OBJECT_PID" not in entry  # journald would take a look at it, too early


def test_priorities_are_those_of_syslog(ends: Ends) -> None:
    """Journalctl -p warning leaves out what went as it should."""
    ends.log.info("one")
    ends.log.warning("two")
    ends.log.error("three")
    assert [entry["PRIORITY"] for entry in ends.entries()] == ["6", "4", "3"]


@pytest.mark.parametrize(
    ("ended", "fields"),
    [
        (Exit(3, None), {"EXIT_CODE": "exited", "EXIT_STATUS": "3"}),
        (Exit(None, 9), {"EXIT_CODE": "killed", "EXIT_STATUS": "9"}),
        (Exit(None, 11, True), {"EXIT_CODE": "dumped", "EXIT_STATUS": "11"}),
        (Exit(None, None), {}),
    ],
)
def test_an_end_is_told_as_systemd_tells_it(ends: Ends, ended: Exit, fields: Any) -> None:
    """EXIT_CODE and EXIT_STATUS."""
    ends.log.warning("worker ended", slot="web:3", pid=42, how=report(ended), ran_s=0.1 + 0.2)
    entry = ends.entry()
    found = {name: entry[name] for name in ("EXIT_CODE", "EXIT_STATUS") if name in entry}
    assert found == fields
    assert entry["PIDSUP_HOW"] == str(report(ended))
    assert entry["PIDSUP_RAN_S"] == "0.3"


def test_an_event_without_an_id_has_none(ends: Ends) -> None:
    """Not every line is worth one."""
    ends.log.info("something else")
    assert "MESSAGE_ID" not in ends.entry()


def test_a_command_is_known_by_its_first_word(ends: Ends) -> None:
    """What follows says more; and what is no command is another event."""
    ends.log.info("signal HUP", what="web", change="7", asked_by="root")
    ends.log.warning("signal ignored", signal="USR1", pid=3)
    command, other = ends.entries()
    assert command["MESSAGE_ID"] == MESSAGES["signal"].id
    assert "MESSAGE_ID" not in other


def test_a_bug_is_one_entry_with_its_traceback(ends: Ends) -> None:
    """Of many lines, which belong together."""
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018  the bug
    ends.log.bug(caught.value)
    entry = ends.entry()
    assert entry["MESSAGE"].startswith("Traceback")
    assert entry["MESSAGE"].endswith("ZeroDivisionError: division by zero")
    assert entry["PRIORITY"] == "2"
    assert entry["MESSAGE_ID"] == MESSAGES["internal error"].id


def test_what_no_encoding_has_is_written_all_the_same(ends: Ends) -> None:
    """A path may be any bytes."""
    ends.log.info("event", path=os.fsdecode(b"/x\xff"), text="two\nlines")
    assert ends.entry()["PIDSUP_PATH"] == "/x\\udcff"


def test_a_large_one_is_written_too(ends: Ends) -> None:
    """Larger than a datagram may be."""
    ends.log.info("event", text="x" * (20 << 20))
    assert len(ends.entry()["PIDSUP_TEXT"]) == 20 << 20


def test_what_is_less_than_the_level_is_not_written(
    epoll_driver: EpollDriver, tmp_path: Path
) -> None:
    """log_level = "warning"."""
    journald = Journald(tmp_path / "journal")
    log = JournalLog(
        epoll_driver.loop, LINUX, Entries(journald.journal), always={}, level="warning"
    )
    log.info("one")
    log.warning("two")
    log.close()
    assert [entry["MESSAGE"] for entry in journald.entries()] == [b"two"]
    journald.close()


# --- order and amount


def test_nothing_is_written_from_inside_the_call(ends: Ends) -> None:
    """An entry costs its caller no system call."""
    ends.log.info("event")
    assert ends.journald.entries() == []
    assert len(ends.entries()) == 1


def test_a_journald_that_hangs_blocks_nobody_and_gets_all_in_order_later(ends: Ends) -> None:
    """As soon as it reads."""
    filled = ends.fill()
    with unblocked_by(ends.journald.close):
        for n in range(1000):
            ends.log.info("event", n=n)
            if n % 100 == 0:
                ends.settle()
        ends.settle()
    found = ends.drain(filled + 1000)
    assert [entry["PIDSUP_N"] for entry in found[filled:]] == [str(n) for n in range(1000)]


def test_what_does_not_fit_the_queue_is_counted_and_said(ends: Ends) -> None:
    """At the place where it is missing."""
    filled = ends.fill()
    ends.log.info("event", n="first")
    ends.settle()
    for n in range(MOST_RECORDS + 500):
        ends.log.info("event", n=n)
    found = ends.drain(filled + 1 + MOST_RECORDS + 1)[filled:]
    assert found[-1]["MESSAGE"] == "log lines dropped count=500"
    assert found[-1]["MESSAGE_ID"] == MESSAGES["log lines dropped"].id
    assert [entry["PIDSUP_N"] for entry in found[1:-1]] == [str(n) for n in range(MOST_RECORDS)]


def test_a_crowd_does_not_take_a_whole_turn(ends: Ends) -> None:
    """Sixteen of a turn: clients wait for the loop."""
    for n in range(100):
        ends.log.info("event", n=n)
    for _ in range(3):
        ends.driver.turn(lambda: True)
    assert 0 < len(ends.journald.entries()) <= 32


def test_an_idle_log_does_not_watch_its_socket(ends: Ends) -> None:
    """It is writable all the time: the loop would spin."""
    ends.log.info("event")
    ends.settle()
    assert ends.driver.loop.remove_writer(ends.fd) is False


def test_while_nobody_listens_entries_are_kept_for_the_next(ends: Ends) -> None:
    """Without spinning: what is said next looks whether there is somebody."""
    ends.journald.deafen()
    ends.log.info("one")
    ends.settle()
    ends.log.info("two")
    ends.settle()
    assert ends.driver.loop.remove_writer(ends.fd) is False
    ends.journald.listen()
    ends.log.info("three")
    assert [entry["MESSAGE"] for entry in ends.entries()] == ["one", "two", "three"]


def test_what_can_never_be_sent_is_counted_and_the_rest_goes_on(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory file could be made for it, say."""

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("pidsup.systemd.journal._sealed", refuse)
    ends.log.info("event", text="x" * (20 << 20))
    ends.log.info("event", n=1)
    first, second = ends.entries()
    assert first["MESSAGE"] == "event n=1"
    assert second["MESSAGE"] == "log lines dropped count=1"


# --- close


def test_close_writes_what_is_left(ends: Ends) -> None:
    """The last words are the most interesting ones."""
    for n in range(3):
        ends.log.info("supervisor ended", n=n)
    ends.log.close()
    assert [entry["PIDSUP_N"] for entry in ends.journald.entries()] == [b"0", b"1", b"2"]


def test_close_does_not_wait_for_a_journald_that_hangs(ends: Ends) -> None:
    """A tenth of a second: systemd waits for us."""
    ends.fill()
    ends.log.info("event")
    with unblocked_by(ends.journald.close, limit_s=5):
        ends.log.close()
    ends.log.close()


def test_a_log_that_is_closed_says_nothing_more(ends: Ends) -> None:
    """A call that was still to come finds it closed."""
    ends.log.info("one")
    ends.log.close()
    ends.log.info("two")
    ends.settle()
    assert [entry["MESSAGE"] for entry in ends.journald.entries()] == [b"one"]
