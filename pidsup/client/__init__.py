"""Clients of the control socket: `sync` blocks and needs no loop, `aio` is asyncio's."""

from __future__ import annotations

from pidsup.client.sync import (
    CallFailed,
    Client,
    NotAnswering,
    NotRunning,
    connect,
    live_names,
)

__all__ = ["CallFailed", "Client", "NotAnswering", "NotRunning", "connect", "live_names"]
