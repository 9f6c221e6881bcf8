"""Build pidsup.linux._native from csrc with cffi, API mode, one abi3 file."""

from __future__ import annotations

import os
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).parent
SOURCES = ("malloc", "pidfd", "signalfd", "spawn", "statx")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion")
#: Our CI only: a user's newer compiler may warn about what we cannot know.
STRICT = ("-Werror",) if os.environ.get("PIDSUP_WERROR") == "1" else ()

ffibuilder = FFI()
ffibuilder.cdef((CSRC / "native.api.h").read_text())
ffibuilder.set_source(
    "pidsup.linux._native",
    '#include "native.h"',
    sources=[f"csrc/{name}.c" for name in SOURCES],
    include_dirs=["csrc"],
    depends=["csrc/native.h", "csrc/native.api.h"],
    extra_compile_args=["-std=gnu11", "-fvisibility=hidden", *WARNINGS, *STRICT],
)
