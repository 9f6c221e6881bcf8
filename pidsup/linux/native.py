"""Turn the -errno that csrc returns into the OSError that Python expects."""

from __future__ import annotations

import os

from pidsup.linux._native import ffi, lib

__all__ = ["check", "ffi", "lib"]


def check(rc: int, what: str) -> int:
    """Return *rc*, or raise the OSError (and its subclass) that a negative one stands for."""
    if rc < 0:
        raise OSError(-rc, f"cannot {what}: {os.strerror(-rc)}")
    return rc
