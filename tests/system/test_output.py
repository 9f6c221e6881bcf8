"""The output of workers of the real daemon: files, console, memory, floods, the end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import LIMIT_S, needs_root, wait_until
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]


def contains(path: Path, text: str) -> Callable[[], bool]:
    def it_does() -> bool:
        try:
            return text in path.read_text(errors="replace")
        except FileNotFoundError:  # not yet made, or just rotated
            return False

    return it_does


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_output_of_workers_appears_behind_their_names(daemon: Start) -> None:
    """By default, on the supervisor's own."""
    one = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "echo hello; echo oh >&2; exec sleep 1000"]
        workers = 2
        """
    )
    wait_until(lambda: one.log().count(" | ") == 4, one.log())
    lines = [line for line in one.log().splitlines() if " | " in line]
    assert sorted(lines) == ["web:0 | hello", "web:0 | oh", "web:1 | hello", "web:1 | oh"]


def test_a_file_gets_the_bytes_as_they_are_over_restarts(daemon: Start, tmp_path: Path) -> None:
    """Each worker's behind its predecessor's."""
    path = tmp_path / "web-0.log"
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "printf '\\\\000\\\\377 %s\\\\n' $$; exec sleep 1000"]
        stdout = "{tmp_path}/{{watcher}}-{{slot}}.log"
        """
    )
    pids = []
    for n in range(5):
        wait_until(lambda count=n + 1: count_lines(path) == count)  # type: ignore[misc]  # bound
        pids.append(one.pids()["web:0"])
        if n < 4:
            one.client.call("Restart", selectors=["web"], wait=True, timeout_ms=None)
    assert path.read_bytes() == b"".join(b"\0\xff %d\n" % pid for pid in pids)


def test_a_failed_worker_is_shown_with_its_last_words(daemon: Start) -> None:
    """What it wrote in its last instant, though nobody had read it yet."""
    one = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "echo starting; echo 'cannot open shop.db' >&2; exit 3"]
        restart = "no"
        stdout = "capture"
        stderr = "capture"
        """
    )
    one.await_slots(lambda slots: slots["web:0"]["state"] == "failed")
    assert "cannot open shop.db" in json.dumps(one.slots()["web:0"])


def test_what_is_written_at_the_end_is_not_lost(daemon: Start, tmp_path: Path) -> None:
    """A worker's words on its stop signal, on all ways; the daemon waits for its writer."""
    path = tmp_path / "log"
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", '''
            trap "seq 1 20000; exit 0" TERM; echo up; while :; do sleep 0.01; done
        ''']
        workers = 3
        stdout = "{path}"
        """
    )
    wait_until(lambda: path.exists() and path.read_text().count("up") == 3)
    one.send(signal.SIGTERM)
    assert one.wait() == 0
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(["up"] * 3 + [str(n) for n in range(1, 20001)] * 3)


def test_a_file_is_rotated_and_compressed(daemon: Start, tmp_path: Path) -> None:
    path = tmp_path / "log"
    daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "seq 1 50000; exec sleep 1000"]
        stdout = "{path}"
        log_max_size = "50K"
        log_compress = "gzip"
        log_keep = 3
        """
    )
    wait_until(contains(path, "50000\n"))
    names = ["log", "log.1.gz", "log.2.gz", "log.3.gz"]
    wait_until(lambda: sorted(n for n in os.listdir(tmp_path) if n.startswith("log")) == names)


def test_a_directory_that_is_removed_is_not_made_again_but_awaited(
    daemon: Start, tmp_path: Path
) -> None:
    """Nor is it made at first; meanwhile the status says what is wrong, and lines are counted."""
    path = tmp_path / "logs" / "log"
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done"]
        stdout = "{path}"
        """
    )
    why = f"cannot write {path}: No such file or directory, for "

    def in_trouble() -> bool:
        slot = one.slots()["web:0"]
        return (slot["output_trouble"] or "").startswith(why) and slot["dropped_bytes"] > 0

    for _ in range(2):
        wait_until(in_trouble, "said in the status")
        assert not path.parent.exists()
        path.parent.mkdir()
        wait_until(contains(path, "line"), "written again")
        wait_until(lambda: one.slots()["web:0"]["output_trouble"] is None, "no trouble any more")
        path.parent.rename(tmp_path / f"gone-{len(os.listdir(tmp_path))}")
    assert "next='its lines are dropped, retrying in 1 s'" in one.log()


def test_a_disk_that_is_full_stops_nobody(daemon: Start, tmp_path: Path) -> None:
    """Counted in the status, said once in the log."""
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "while :; do echo line; sleep 0.01; done"]
        stdout = "{path}"
        """
    )
    one.await_slots(lambda slots: slots["web:0"]["dropped_bytes"] > 100, "counted")
    assert one.log().count("cannot write file of output") == 1
    assert "No space left on device" in one.log()
    path.unlink()
    wait_until(contains(path, "line\nline\n"))
    wait_until(lambda: "written again" in one.log())


@needs_root
def test_a_worker_of_another_user_writes_and_reopens(daemon: Start) -> None:
    one = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "echo 1; echo 2 >/dev/stdout; echo 3 >/dev/stderr; exec sleep 1000"]
        user = "nobody"
        """
    )
    wait_until(lambda: one.log().count("web:0 | ") == 3, one.log())


def test_a_flood_delays_no_restart_and_costs_bounded_memory(daemon: Start, tmp_path: Path) -> None:
    """Of another worker; to a file, into memory, and to a console that is slow."""
    one = daemon(
        f"""
        [watchers.file]
        command = ["yes", "{"x" * 100}"]
        stdout = "{tmp_path}/log"
        log_max_size = "10M"
        log_keep = 1
        [watchers.memory]
        command = ["yes"]
        stdout = "capture"
        [watchers.web]
        command = ["sleep", "1000"]
        min_uptime = 0
        """
    )
    one.await_slots(lambda slots: len(slots) == 3)
    time.sleep(0.5)  # the flood runs, and has all the memory it wants
    before = one.rss_kb()
    took: list[float] = []
    for _ in range(20):
        pid = one.pids("web")["web:0"]
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: one.pids("web").get("web:0", pid) != pid)  # type: ignore[misc]  # bound
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.25, took
    assert not one.has_grown(before, 6000)


def test_who_follows_a_flood_and_does_not_read_costs_bounded_memory(daemon: Start) -> None:
    """Two rings of a megabyte, and what is on its way to the client."""
    one = daemon(
        """
        [watchers.web]
        command = ["yes", "a line of a flood"]
        stdout = "capture"
        """
    )
    one.await_slots(lambda slots: slots["web:0"]["pid"])
    before = one.rss_kb()
    stream = one.client.stream("Logs", follow=True)
    assert next(stream)["lines"]
    time.sleep(1.0)
    assert not one.has_grown(before, 12_000), (before, one.rss_kb())
    missed = 0
    deadline = time.monotonic() + LIMIT_S
    while not missed and time.monotonic() < deadline:
        missed += next(stream)["missed"]
    assert missed > 0


def test_a_hundred_megabytes_without_a_newline_go_through(daemon: Start, tmp_path: Path) -> None:
    """With little memory."""
    path = tmp_path / "log"
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "head -c 100000000 /dev/zero; exec sleep 1000"]
        stdout = "{path}"
        log_max_size = 0
        """
    )
    before = one.rss_kb()
    wait_until(lambda: path.exists() and path.stat().st_size == 100_000_000, "all written")
    assert not one.has_grown(before, 8000)


def test_idle_outputs_wake_nobody(daemon: Start, tmp_path: Path) -> None:
    """Neither the loop nor the writer."""
    one = daemon(
        f"""
        [watchers.web]
        command = ["sh", "-c", "echo up; exec sleep 1000"]
        workers = 3
        stdout = "{tmp_path}/log"
        """
    )
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and log.read_text().count("up") == 3)

    def switches() -> int:
        """Count how often it went to sleep: others may interrupt it as they like."""
        tasks = Path(f"/proc/{one.pid}/task").glob("*/status")
        return sum(
            int(line.split()[1])
            for task in tasks
            for line in task.read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches")
        )

    def slept_through() -> bool:
        before = switches()
        time.sleep(0.5)
        return switches() == before

    wait_until(slept_through, "it comes to rest")  # what it still had to do is done
    before = switches()
    time.sleep(1.0)
    assert switches() == before
