"""What `pidsup run` finds out before it runs."""

from __future__ import annotations

import pytest

from pidsup.cli.run import _is_new_enough


@pytest.mark.parametrize(
    ("release", "enough"),
    [("4.19.0", False), ("5.13.19", False), ("5.14.0-362.el9.x86_64", True), ("5.14-rc1", True),
     ("6.1.0-18-amd64", True), ("10.0", True)],
)  # fmt: skip
def test_older_kernels_are_refused(release: str, enough: bool) -> None:
    assert _is_new_enough(release) is enough
