"""What pidsup relies on from memfd_create(2): the table of workers lives in one."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from subprocess import PIPE, Popen

from tests.support import python, read_line

RECORD_BYTES = 64
RECORDS = 256
ROUNDS = 20

WRITER = f"""
import itertools, os, sys
fd = int(sys.argv[1])
pages = [bytes([n]) * {RECORD_BYTES} for n in range(256)]
print("writing", flush=True)
for round in itertools.count():
    for place in range({RECORDS}):
        os.pwrite(fd, pages[(round + place) % 256], place * {RECORD_BYTES})
"""


def test_sigkill_does_not_tear_a_record(
    worker: Callable[..., Popen[bytes]], rng: random.Random
) -> None:
    """One pwrite of a record within a page is there or not, whenever the writer dies."""
    fd = os.memfd_create("test")
    os.ftruncate(fd, RECORDS * RECORD_BYTES)
    for _ in range(ROUNDS):
        writer = worker(python(WRITER, str(fd)), pass_fds=[fd], stdout=PIPE)
        assert writer.stdout is not None
        read_line(writer.stdout.fileno())
        time.sleep(rng.uniform(0, 0.005))  # any moment will do
        writer.kill()
        writer.wait()
        data = os.pread(fd, RECORDS * RECORD_BYTES, 0)
        records = (data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES))
        assert all(len(set(record)) == 1 for record in records)
    os.close(fd)


def test_a_memory_file_shares_its_content_with_every_holder() -> None:
    """A pwrite in place is seen through a copy: nothing has to be stored anew."""
    fd = os.memfd_create("test")
    copy = os.dup(fd)
    os.pwrite(fd, b"record", 4096)
    assert os.pread(copy, 6, 4096) == b"record"
    os.close(fd)
    os.close(copy)
