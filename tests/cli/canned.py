"""Answers of a supervisor, as the interface file declares them."""

from __future__ import annotations

from typing import Any

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.terminal import Terminal
from pidsup.cli.ctl.words import Times

PIPE = Terminal(None)
NARROW = Terminal(80, live=True)
WIDE = Terminal(200, live=True)
COLOURED = Terminal(80, colour=True, live=True)

RELATIVE = Times(Given(utc=False, abs_time=False))
IN_UTC = Times(Given(utc=True, abs_time=False))


def exit_(**facts: Any) -> dict[str, Any]:
    """Return type Exit."""
    return {
        "code": 1, "signal": None, "core": False, "user_s": 0.2, "system_s": 0.1, "ran_s": 3.0,
        "asked_for": False, "last_lines": [], **facts,
    }  # fmt: skip


def slot(name: str = "web:0", **facts: Any) -> dict[str, Any]:
    """Return type Slot, ready unless told otherwise."""
    return {
        "name": name, "state": "ready", "wanted": True, "pid": 7, "serial": 1, "for_s": 3.0,
        "due_s": None, "up_s": 3.0, "restarts": 0, "reason": "", "last_exit": None,
        "generation": 1, "dropped_bytes": 0, "output_trouble": None, "status": None,
        "reloading": False, "stored": 0, "strangers": 0, **facts,
    }  # fmt: skip


def down(name: str = "web:0", state: str = "backoff", **facts: Any) -> dict[str, Any]:
    """Return type Slot, without a worker."""
    return slot(name, state=state, pid=None, up_s=None, **facts)


def watcher(name: str = "web", *slots: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return type Watcher."""
    ready = sum(s["state"] == "ready" for s in slots)
    return {
        "name": name, "command": ["python3", "-m", "shop"], "running": True,
        "workers": len(slots), "ready": ready,
        "state": "ready" if ready == len(slots) else "degraded",
        "slots": list(slots), "sockets": [], "generation": 1,
        "kept": {"stdout": "memory", "stderr": "memory"}, **facts,
    }  # fmt: skip


def socket(name: str = "http", **facts: Any) -> dict[str, Any]:
    """Return type Socket."""
    return {
        "name": name, "listen": "127.0.0.1:0", "address": "127.0.0.1:8080", "type": "stream",
        "watchers": ["web"], "queued": 3, "backlog": 4096,
        "systemd": None, **facts,
    }  # fmt: skip


def task(name: str = "web:0", state: str = "done", reason: str = "") -> dict[str, Any]:
    """Return type Task."""
    return {"slot": name, "state": state, "reason": reason}


def change(*tasks: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return type Change, under way unless told otherwise."""
    return {
        "id": "12", "kind": "restart", "what": "web", "state": "doing",
        "actor": {"uid": 4_000_000, "pid": 44, "comm": "pidsupctl"},
        "asked_at": 1_000_000_000.0, "ended_at": None, "total": len(tasks),
        "over": sum(t["state"] != "doing" for t in tasks), "tasks": list(tasks), **facts,
    }  # fmt: skip


def status(*watchers: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the answer of Status."""
    return {
        "schema": 1, "name": "shop", "pid": 40, "version": "0.1.0", "state": "running",
        "up_s": 11520.0, "watchers": list(watchers), "changes": [], "sockets": [],
        "files": ["/etc/shop.toml"], "read_s": 11520.0, "role": "admin", "journal": None,
        "ready": True, **facts,
    }  # fmt: skip


def process(pid: int, ppid: int = 40, **facts: Any) -> dict[str, Any]:
    """Return type Process."""
    return {
        "pid": pid, "ppid": ppid, "name": "python3", "command": ["python3", "-m", "shop"],
        "state": "S", "user": "www", "threads": 1, "cpu_s": 1.5, "rss_bytes": 24 << 20,
        "started_at": 1_000_000_000.0, **facts,
    }  # fmt: skip


def stats(*slots: dict[str, Any], at: float = 100.0, **facts: Any) -> dict[str, Any]:
    """Return the answer of Stats."""
    return {"at": at, "slots": list(slots), "sockets": [], **facts}


def slot_stats(name: str, *processes: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return type SlotStats."""
    return {
        "name": name, "state": "ready", "up_s": 3.0, "restarts": 0, "processes": list(processes),
        **facts,
    }  # fmt: skip


def line(text: str | None = "hello", name: str = "web:0", **facts: Any) -> dict[str, Any]:
    """Return type Line."""
    return {
        "slot": name, "serial": 1, "stream": "stdout", "at": 1_000_000_000.25, "text": text,
        "base64": None, "partial": False, **facts,
    }  # fmt: skip


def event(kind: str = "slot", **facts: Any) -> dict[str, Any]:
    """Return type Event."""
    return {
        "seq": 5, "at": 1_000_000_000.25, "kind": kind, "subject": "web:0", "state": "ready",
        "reason": "", "pid": None, "exit": None, "change": None, "running": None,
        "workers": None, "due_s": None, **facts,
    }  # fmt: skip
