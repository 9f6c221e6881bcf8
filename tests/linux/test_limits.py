"""getrlimit(2)."""

from __future__ import annotations

import resource

from pidsup.linux.limits import OPEN_FILES, raise_open_files
from tests.support import open_files_limited


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    """A supervisor needs three descriptors a worker; the worker gets the old limit back."""
    _, hard = resource.getrlimit(OPEN_FILES)
    with open_files_limited(hard - 1):
        assert raise_open_files() == (hard - 1, hard)
        assert resource.getrlimit(OPEN_FILES) == (hard, hard)


def test_raising_it_twice_changes_nothing() -> None:
    """What it returns then is the raised limit."""
    _, hard = resource.getrlimit(OPEN_FILES)
    with open_files_limited(hard):
        assert raise_open_files() == (hard, hard)
