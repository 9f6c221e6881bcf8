"""Build what the benchmarks run: two C programs and a clean environment per Python peer.

Kept in $XDG_CACHE_HOME/pidsup-bench and made anew when the sources have changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
CFLAGS = ["-std=c11", "-O2", "-static", "-Wall", "-Wextra"]
SUPERVISOR = "supervisor==4.3.0"
NOT_SOURCES = shutil.ignore_patterns(
    ".*", "bench", "tests", "docs", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.o"
)


def program(name: str) -> Path:
    """Compile bench/NAME.c; return the program."""
    source = HERE / f"{name}.c"
    key = hashlib.sha256(source.read_bytes() + " ".join(CFLAGS).encode()).hexdigest()[:12]
    target = _cache() / f"{name}-{key}"
    if not target.exists():
        unfinished = target.with_suffix(f".{os.getpid()}")
        _run(["gcc", *CFLAGS, "-o", str(unfinished), str(source)])
        unfinished.rename(target)
    return target


def supervisor_environment() -> Path:
    """Install supervisord in an environment of its own; return its bin directory."""
    return _environment("supervisor", SUPERVISOR, [SUPERVISOR])


def pidsup_environment() -> Path:
    """Install this checkout in an environment of its own; return its bin directory.

    Built from a copy: setuptools writes into the tree that it builds from.
    """
    with tempfile.TemporaryDirectory(prefix="pidsup-bench-build-") as scratch:
        copy = Path(scratch, "source")
        shutil.copytree(CHECKOUT, copy, ignore=NOT_SOURCES)
        return _environment("pidsup", _digest(copy), [str(copy)])


def _environment(name: str, key: str, requirements: list[str]) -> Path:
    """Return the bin directory of an environment made for *key*, from the cache or anew.

    Locked until this process ends: another run may want the place for other sources.
    """
    digest = hashlib.sha256(f"{sys.version} {key}".encode()).hexdigest()[:12]
    root = _cache() / f"env-{name}-{digest}"
    lock = _lock_file(root)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (root / "complete").exists():
        print(f"installing {name} into {root} ...", file=sys.stderr)
        shutil.rmtree(root, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(root)])
        _run([str(root / "bin/python"), "-m", "pip", "install", "--quiet", *requirements])
        (root / "complete").touch()
    fcntl.flock(lock, fcntl.LOCK_SH)
    for other in _cache().glob(f"env-{name}-*/"):
        if other != root:
            _remove_unused(other)
    return root / "bin"


def _remove_unused(root: Path) -> None:
    """Remove an environment that nobody uses."""
    lock = _lock_file(root)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(root)
    finally:
        os.close(lock)


def _lock_file(root: Path) -> int:
    """Open the lock of an environment; the descriptor is the caller's."""
    return os.open(root.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(base, "pidsup-bench")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _digest(tree: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(tree)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _run(command: list[str]) -> None:
    """Run *command*; show what it said only if it fails."""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"cannot run {command}: status {done.returncode}\n{done.stdout}")
