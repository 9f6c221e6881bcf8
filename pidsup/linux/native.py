"""Turn the -errno that csrc returns into the OSError that Python expects."""

from __future__ import annotations

import os

from pidsup.linux._native import ffi, lib

__all__ = ["check", "error", "ffi", "lib"]


def check(rc: int, what: str) -> int:
    """Return *rc*, or raise the OSError (and its subclass) that a negative one stands for."""
    if rc < 0:
        raise error(rc, what)
    return rc


def error(rc: int, what: str) -> OSError:
    """Make the OSError that a negative *rc* stands for."""
    return OSError(-rc, f"cannot {what}: {os.strerror(-rc)}")
