"""Files: rotation by size and age, compression, and what happens to them from outside."""

from __future__ import annotations

import gzip
import os
import random
import resource
import signal
import time
from pathlib import Path
from threading import Thread

import pytest

from pidsup.linux.birth import born_at
from pidsup.output import file as file_module
from pidsup.output.compressor import Compressor
from pidsup.output.file import LogFile
from pidsup.output.rotation import shift
from tests.output.box import Box
from tests.support import LIMIT_S, needs_root, sh, wait_until

NOBODY = 65534


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each write, not every 20 ms."""
    monkeypatch.setattr(file_module, "_LOOK_EVERY_S", 0.0)


def rotated(path: Path) -> list[str]:
    """Return the names beside *path*, without its own."""
    return sorted(p.name.removeprefix(path.name) for p in path.parent.iterdir() if p != path)


def text_of(path: Path) -> bytes:
    """Return all that is there of a file, oldest first."""
    found = b""
    number = len(rotated(path))
    for n in range(number, 0, -1):
        plain, zipped = Path(f"{path}.{n}"), Path(f"{path}.{n}.gz")
        found += plain.read_bytes() if plain.exists() else gzip.decompress(zipped.read_bytes())
    return found + path.read_bytes()


# --- rotation


def test_a_file_that_is_full_becomes_file_1(tmp_path: Path) -> None:
    """Lines are not split, and the file never gets larger."""
    path = tmp_path / "log"
    file = LogFile(str(path), max_bytes=100, keep=3)
    for n in range(10):
        file.write([b"line %02d, of twenty-four\n" % n, b"and one more of that\n"])
    file.close()
    assert rotated(path) == [".1", ".2", ".3"]
    for n in (1, 2, 3):
        data = Path(f"{path}.{n}").read_bytes()
        assert len(data) <= 100
        assert data.endswith(b"\n")


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_split_at_a_rotation(seed: int, tmp_path: Path) -> None:
    """Lines of any length, in pieces of any length."""
    rng = random.Random(seed)
    path = tmp_path / "log"
    file = LogFile(str(path), max_bytes=1000, keep=1000)
    text = b"".join(b"%d %s\n" % (n, b"x" * rng.randrange(300)) for n in range(200))
    at = 0
    while at < len(text):
        sizes = [rng.randrange(1, 1500) for _ in range(rng.randrange(1, 4))]
        chunks = []
        for size in sizes:
            chunks.append(text[at : at + size])
            at += size
        file.write([chunk for chunk in chunks if chunk])
    file.close()
    assert text_of(path) == text
    for n in range(1, len(rotated(path)) + 1):
        data = Path(f"{path}.{n}").read_bytes()
        assert data.endswith(b"\n")
        assert len(data) < 1400


def test_a_line_larger_than_a_file_is_split_at_twice_its_size(tmp_path: Path) -> None:
    """One that never ends would fill the disk."""
    path = tmp_path / "log"
    file = LogFile(str(path), max_bytes=1000, keep=10)
    for _ in range(50):
        file.write([b"x" * 100])
    file.close()
    assert text_of(path) == b"x" * 5000
    assert Path(f"{path}.1").stat().st_size == 2000


def test_a_file_that_is_old_is_rotated_also_after_a_restart(tmp_path: Path) -> None:
    """By the time that the file system knows, not by ours."""
    path = tmp_path / "log"
    file = LogFile(str(path), max_age_s=1000.0)
    file.write([b"one\n"])
    with path.open("rb") as opened:
        assert abs(born_at(opened.fileno()) - time.time()) < 5
    file.close()
    again = LogFile(str(path), max_age_s=1000.0)
    again.write([b"two\n"])
    assert rotated(path) == []
    again.close()
    old = LogFile(str(path), max_age_s=0.001)
    old.write([b"three\n"])
    old.close()
    assert Path(f"{path}.1").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"


def test_where_births_are_unknown_the_last_rotation_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FILE.1 got its name then."""
    monkeypatch.setattr(file_module, "born_at", lambda fd: 0)
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    Path(f"{path}.1").write_bytes(b"zero\n")
    file = LogFile(str(path), max_age_s=1000.0)
    file.write([b"two\n"])
    assert file._born_at == Path(f"{path}.1").stat().st_ctime
    file.close()


def test_no_more_than_keep_files_stay(tmp_path: Path) -> None:
    """Those that an earlier configuration kept go, too; compressed ones count."""
    path = tmp_path / "log"
    for n in range(1, 8):
        name = f"{path}.{n}" + (".gz" if n % 2 else "")
        Path(name).write_text(str(n))
    path.write_text("0")
    shift(str(path), 3)
    assert rotated(path) == [".1", ".2.gz", ".3"]
    assert Path(f"{path}.3").read_text() == "2"
    assert not path.exists()


def test_keep_none_means_to_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0")
    shift(str(path), 0)
    assert not path.exists()
    assert rotated(path) == []


def test_a_rotation_that_fails_is_told_and_the_file_grows(tmp_path: Path) -> None:
    """Nothing is lost for it."""
    path = tmp_path / "log"
    Path(f"{path}.1").mkdir()  # cannot be replaced by a file
    Path(f"{path}.1", "in the way").touch()
    told: list[OSError | None] = []
    file = LogFile(str(path), max_bytes=10, keep=1, rotated=lambda _, error: told.append(error))
    for n in range(10):
        file.write([b"line %d\n" % n])
    file.close()
    assert path.read_bytes() == b"".join(b"line %d\n" % n for n in range(10))
    assert len(told) == 1
    assert isinstance(told[0], OSError)


def test_while_the_compressor_renames_no_file_of_that_path_is_rotated(tmp_path: Path) -> None:
    """Also if it has been opened anew meanwhile: or a fresh FILE.1 might be removed."""
    path = tmp_path / "log"
    old, new = LogFile(str(path), keep=5), LogFile(str(path), max_bytes=10, keep=5)
    new.write([b"one line\n"])
    thread = Thread(target=new.write, args=([b"another\n"],))
    with old.names:
        thread.start()
        thread.join(0.05)
        assert rotated(path) == []
    thread.join(LIMIT_S)
    assert rotated(path) == [".1"]
    new.close()


# --- compression


def test_rotated_files_are_compressed_under_way(tmp_path: Path) -> None:
    """With names that shift meanwhile; nothing is lost."""
    path = tmp_path / "log"
    failed: list[OSError] = []
    compressor = Compressor(lambda _, error: failed.append(error))
    file = LogFile(
        str(path), max_bytes=1000, keep=1000, rotated=lambda it, _: compressor.compress(it)
    )
    for n in range(1000):
        file.write([b"line %d\n" % n])
    compressor.compress(file)
    wait_until(lambda: all(name.endswith(".gz") for name in rotated(path)), "all compressed")
    compressor.close(5.0)
    file.close()
    assert text_of(path) == b"".join(b"line %d\n" % n for n in range(1000))
    assert failed == []


def test_a_crash_while_compressing_leaves_nothing_half(tmp_path: Path) -> None:
    """The next start does it again."""
    path = tmp_path / "log"
    path.write_bytes(b"new\n")
    Path(f"{path}.1").write_bytes(b"old\n")
    os.utime(f"{path}.1", (1e9, 1e9))
    Path(f"{path}.gz-unfinished").write_bytes(b"half")
    compressor = Compressor(lambda *_: None)
    compressor.compress(LogFile(str(path), keep=5))
    wait_until(lambda: rotated(path) == [".1.gz"], "compressed, and the rest removed")
    compressor.close(5.0)
    assert gzip.decompress(Path(f"{path}.1.gz").read_bytes()) == b"old\n"
    assert Path(f"{path}.1.gz").stat().st_mtime == 1e9


def test_what_cannot_be_compressed_stays(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Path(f"{path}.1").write_bytes(b"old\n")
    Path(f"{path}.gz-unfinished").mkdir()
    failed: list[OSError] = []
    compressor = Compressor(lambda _, error: failed.append(error))
    compressor.compress(LogFile(str(path), keep=5))
    wait_until(lambda: failed, "told")
    compressor.close(5.0)
    assert Path(f"{path}.1").read_bytes() == b"old\n"


# --- what others do to a file


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """logrotate, with create or without."""
    path = tmp_path / "log"
    file = LogFile(str(path))
    file.write([b"one\n"])
    path.rename(tmp_path / "moved")
    file.write([b"two\n"])
    path.unlink()
    file.write([b"three\n"])
    file.close()
    assert (tmp_path / "moved").read_bytes() == b"one\n"
    assert path.read_bytes() == b"three\n"
    assert path.stat().st_mode & 0o777 == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_was_truncated_goes_on_from_its_beginning(tmp_path: Path) -> None:
    """Logrotate's copytruncate: no hole, and its size is known."""
    path = tmp_path / "log"
    file = LogFile(str(path), max_bytes=20)
    file.write([b"0123456789\n"])
    os.truncate(path, 0)
    file.write([b"0123456789\n"])
    file.close()
    assert path.read_bytes() == b"0123456789\n"
    assert rotated(path) == []


def test_no_directory_is_made_neither_at_first_nor_when_it_was_removed(tmp_path: Path) -> None:
    """It goes on when somebody else has made it."""
    path = tmp_path / "a" / "b" / "log"
    file = LogFile(str(path))
    with pytest.raises(FileNotFoundError):
        file.write([b"none\n"])
    path.parent.mkdir(parents=True)
    file.write([b"one\n"])
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        file.write([b"none\n"])
    path.parent.mkdir()
    file.write([b"two\n"])
    file.close()
    assert path.read_bytes() == b"two\n"


def test_a_fifo_that_nobody_reads_is_an_error_and_not_for_ever(tmp_path: Path) -> None:
    """It would stop all other files."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    file = LogFile(str(path))
    with pytest.raises(OSError, match="No such device or address"):
        file.write([b"one\n"])


# --- bad days, with a worker


def test_a_full_disk_costs_lines_that_are_counted_and_said_once(box: Box, tmp_path: Path) -> None:
    """The worker and the supervisor go on; and it is said when there is room again."""
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    slot = box.slot(stdout=str(path))
    for n in range(3):
        box.run(slot, f"echo lost {n}")
        box.until(lambda n=n: slot.dropped_bytes >= 7 * (n + 1))
    [said] = box.log.facts("cannot write file of output")
    assert said["path"] == str(path)
    assert said["why"] == "No space left on device"
    assert "retrying in 1 s" in str(said["next"])
    assert slot.trouble.startswith(f"cannot write {path}: No space left on device, for ")
    assert slot.trouble.endswith("s")
    path.unlink()
    box.until(lambda: not slot._streams[0]._sink.failing)  # type: ignore[union-attr]  # a file
    box.run(slot, "echo kept")
    box.until(lambda: box.log.facts("file of output is written again"), "well again")
    assert box.log.facts("file of output is written again")[0]["lost"] == 21
    assert path.read_text() == "kept\n"
    assert slot.dropped_bytes == 21
    assert slot.trouble == ""
    assert box.log.facts("output dropped") == []  # it has been said


def test_trouble_lasts_since_the_first_failure_and_has_the_latest_reason(
    box: Box, tmp_path: Path
) -> None:
    """Said once for both streams of a slot, if they have the same file."""
    path = tmp_path / "a" / "log"
    slot = box.slot(stdout=str(path), stderr=str(path))
    box.run(slot, "echo one; echo two >&2")
    box.until(lambda: slot.trouble)
    assert slot.trouble.startswith(f"cannot write {path}: No such file or directory, for ")
    [sink] = box.outputs._writer._files.values()  # type: ignore[union-attr]  # there is one
    assert sink.trouble is not None
    sink.trouble = sink.trouble._replace(since=box.driver.loop.time() - 4000)
    (tmp_path / "a").touch()
    box.until(lambda: not sink.failing)
    box.run(slot, "echo three")
    box.until(lambda: "Not a" in slot.trouble)
    assert slot.trouble == f"cannot write {path}: Not a directory, for 66 min"


def test_a_line_that_did_not_fit_does_not_glue_itself_to_the_next(tmp_path: Path) -> None:
    """The disk took half of it."""
    path = tmp_path / "log"
    file = LogFile(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        with pytest.raises(OSError, match="File too large"):
            file.write([b"12345\n", b"67890\n"])
        assert file.taken == 10
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    file.write([b"next\n"])
    file.close()
    assert path.read_bytes() == b"12345\n6789\nnext\n"


@needs_root
def test_a_real_disk_that_is_full(box: Box, tmp_path: Path) -> None:
    """A tmpfs of 64 KiB: what is in the file and what was counted is all there was."""
    import subprocess

    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount)], check=False
    )
    if done.returncode:
        pytest.skip("*** cannot mount ***")
    try:
        path = mount / "log"
        slot = box.slot(stdout=str(path), format="json")
        box.run(slot, "seq 1 20000")
        box.until(lambda: slot.dropped_bytes)
        slot.close()
        box.outputs._writer.close()  # type: ignore[union-attr]  # there is one
        lines = path.read_bytes().splitlines()
        assert all(line.startswith(b'{"time"') for line in lines)
        assert path.stat().st_size <= 65536
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_slow_disk_lets_the_worker_wait_and_nothing_is_lost(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded; what is beyond it stays in the pipe."""
    path = tmp_path / "log"
    slow(monkeypatch)
    slot = box.slot(stdout=str(path), queue_bytes=100_000)
    process = box.start(slot, sh("seq 1 100000"))
    rooms: list[int] = []

    def ended() -> bool:
        sink = slot._streams[0]._sink
        assert sink is not None
        rooms.append(sink.room())
        return process.poll() is not None

    box.until(ended)
    slot.ended()
    box.close()
    assert path.read_bytes().splitlines() == [b"%d" % n for n in range(1, 100001)]
    assert -(1 << 18) < min(rooms) <= 0


def test_a_slow_disk_may_cost_lines_instead(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole ones, counted; at their place there is a line that says so."""
    path = tmp_path / "log"
    slow(monkeypatch)
    slot = box.slot(stdout=str(path), queue_bytes=100_000, block=False, format="prefixed")
    box.run(slot, "seq 1 100000")
    box.until(lambda: slot._streams[0]._sink.room() > 90_000)  # type: ignore[union-attr]  # a file
    box.run(slot, "echo 100001")
    box.close()
    lines = [line.split(b" | ")[1] for line in path.read_bytes().splitlines()]
    kept = {int(line) for line in lines if not line.startswith(b"[")}
    lost = sum(len(f"{n}\n") for n in set(range(1, 100002)) - kept)
    assert lost == slot.dropped_bytes > 0
    assert lost == sum(int(line[1:].split()[0]) for line in lines if line.startswith(b"["))


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each write of a file take a while."""
    write = LogFile.write

    def late(self: LogFile, chunks: list[bytes]) -> None:
        time.sleep(0.005)
        write(self, chunks)

    monkeypatch.setattr(LogFile, "write", late)


def test_the_end_waits_for_what_is_queued(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded, but long enough for any disk that lives."""
    path = tmp_path / "log"
    slow(monkeypatch)
    slot = box.slot(stdout=str(path))
    box.run(slot, "seq 1 100000")
    box.close()
    assert path.read_bytes().endswith(b"\n100000\n")
