"""The one place where the -errno of csrc becomes an exception."""

from __future__ import annotations

import errno

import pytest

from pidsup.linux.native import check


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ESRCH, ProcessLookupError),
        (errno.ECHILD, ChildProcessError),
        (errno.ENOENT, FileNotFoundError),
        (errno.EPERM, PermissionError),
        (errno.EACCES, PermissionError),
        (errno.EAGAIN, BlockingIOError),
        (errno.EMFILE, OSError),
    ],
)
def test_an_error_is_the_subclass_that_python_has_for_it(number: int, kind: type[OSError]) -> None:
    """So that callers say `except ProcessLookupError`, not compare numbers."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  its type and number are looked at below
        check(-number, "do it")
    assert type(caught.value) is kind
    assert caught.value.errno == number


def test_the_text_says_what_could_not_be_done_and_why() -> None:
    """In the words of the system, after our own."""
    with pytest.raises(ProcessLookupError, match="cannot open process 7: No such process"):
        check(-errno.ESRCH, "open process 7")


@pytest.mark.parametrize("rc", [0, 1, 1 << 30])
def test_success_is_handed_through(rc: int) -> None:
    """A descriptor, a count."""
    assert check(rc, "do it") == rc
