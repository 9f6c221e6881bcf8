"""What `pidsupctl` prints."""

from __future__ import annotations

import sys

from pidsup.control.protocol import Message

_GOOD = ("ready", "completed")
_DOWN = ("stopped", "completed", "failed")


def json_object(message: Message) -> None:
    """Print an object of the interface as it came."""
    import json

    print(json.dumps(message, indent=2))


# --- status


def is_as_wanted(status: Message) -> bool:
    """Tell whether each slot is up or down as it should be."""
    return all(
        slot["state"] in (_GOOD if slot["wanted"] else ("stopped", "completed"))
        for watcher in status["watchers"]
        for slot in watcher["slots"]
    ) and not any(watcher["state"] == "failed" for watcher in status["watchers"])


def status(answer: Message, output: str) -> None:
    """Print type Status: a line per watcher, and one per slot."""
    if output == "json":
        json_object(answer)
        return
    lines: list[str] = []
    rows = [slot for watcher in answer["watchers"] for slot in watcher["slots"]]
    width = max((len(row["name"]) for row in rows), default=0) + 2
    for watcher in answer["watchers"]:
        ready = f"{watcher['ready']}/{watcher['workers']}"
        lines.append(f"{watcher['name']:{width}}  {watcher['state']} {ready}")
        lines.extend(_slot_line(slot, width) for slot in watcher["slots"])
    if answer["state"] == "stopping":
        lines.append("the supervisor is shutting down")
    lines.extend(_change_line(change) for change in answer["changes"])
    sys.stdout.write("\n".join(lines) + "\n" if lines else "no watchers\n")


def _slot_line(slot: Message, width: int) -> str:
    parts = [f"  {slot['name']:{width - 2}}  {slot['state']:9}"]
    if slot["pid"] is not None:
        parts.append(f"pid {slot['pid']}")
    if slot["up_s"] is not None:
        parts.append(f"up {duration(slot['up_s'])}")
    if slot["state"] != "ready":
        if slot["reason"]:
            parts.append(slot["reason"])
        if slot["due_s"] is not None:
            what = "retry" if slot["state"] == "backoff" else "next step"
            parts.append(f"{what} in {slot['due_s']:.1f}s")
        elif slot["state"] in _DOWN and slot["last_exit"]:
            parts.append(f"{duration(slot['for_s'])} ago")
    if slot["restarts"]:
        parts.append(f"restarts {slot['restarts']}")
        if slot["state"] == "ready" and slot["last_exit"]:
            parts.append(f"last {_how(slot['last_exit'])}")
    return "  ".join(parts).rstrip()


def _how(last: Message) -> str:
    if last["signal"] is not None:
        return f"killed by {last['signal']}" + (" (core dumped)" if last["core"] else "")
    return "unknown" if last["code"] is None else f"exited with {last['code']}"


def _change_line(change: Message) -> str:
    tasks = change["tasks"]
    over = sum(task["state"] != "doing" for task in tasks)
    actor = change["actor"]
    return (
        f"change {change['id']}: {change['kind']} by uid {actor['uid']} ({actor['comm']}), "
        f"{over} of {len(tasks)} slots"
    )


def duration(seconds: float) -> str:
    """Word a duration in at most two units: 3h12m, 2m05s, 7.4s."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, whole = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{whole:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"


# --- changes


def change(answer: Message, output: str) -> None:
    """Print what has become of a change."""
    if output == "json":
        json_object(answer)
        return
    made = answer["change"]
    print(summary(made))


def summary(made: Message) -> str:
    """Word a change in a line."""
    count = len(made["tasks"])
    slots = f"{count} slot{'s' * (count != 1)}"
    if made["state"] == "doing":
        return f"{made['kind']}: under way as change {made['id']}, {slots}"
    return f"{made['kind']}: {made['state']}, {slots}"


def error(name: str, parameters: Message) -> str:
    """Word an error of the interface."""
    if name == "NoSuchSelector":
        nearest = parameters.get("nearest")
        hint = f", did you mean {nearest!r}?" if nearest else ""
        return f"no watcher or slot matches {parameters.get('name')!r}{hint}"
    if name == "Superseded":
        return f"superseded by {parameters.get('by')}"
    if name == "TimedOut":
        return (
            f"timed out; change {parameters['change']['id']} goes on{_left(parameters['change'])}"
        )
    if name == "Failed":
        made = parameters["change"]
        return f"{made['kind']} failed{_left(made)}"
    if name == "Invalid":
        return f"{parameters.get('field')}: {parameters.get('why')}"
    if name == "ShuttingDown":
        return "the supervisor is shutting down"
    return str(parameters.get("why") or name)


def _left(made: Message) -> str:
    """List the tasks that are not done."""
    tasks = [task for task in made["tasks"] if task["state"] != "done"]
    lines = [f"\n  {t['slot']}: {t['reason'] or t['state']}" for t in tasks[:10]]
    if len(tasks) > 10:
        lines.append(f"\n  and {len(tasks) - 10} more")
    return ":" + "".join(lines) if lines else ""


class Patience:
    """Says on stderr, once, for whom a command that takes long is waiting."""

    def __init__(self, name: str | None, selectors: list[str]) -> None:
        """Remember whom to ask about."""
        self._name = name
        self._selectors = selectors

    def tell(self) -> None:
        """Ask on a second connection, and look where the processes sleep."""
        from pidsup.client import CallFailed, NotAnswering, NotRunning, connect

        try:
            with connect(self._name) as client:
                answer = client.call("Status", within_s=1, selectors=self._selectors or None)
        except (CallFailed, NotAnswering, NotRunning, OSError):
            return
        busy = ("waiting", "starting", "stopping", "killing", "cleaning", "backoff")
        slots = [s for w in answer["watchers"] for s in w["slots"] if s["state"] in busy]
        for slot in slots[:5]:
            print(f"waiting for {slot['name']}: {_why(slot)}", file=sys.stderr)
        if len(slots) > 5:
            print(f"and for {len(slots) - 5} more", file=sys.stderr)


def _why(slot: Message) -> str:
    from pidsup.linux import proc

    parts = [slot["state"], slot["reason"]]
    if slot["pid"] is not None:
        state, where = proc.state(slot["pid"]), proc.wchan(slot["pid"])
        parts.append(f"pid {slot['pid']} is in state {state}" + (f", {where}" if where else ""))
    if slot["due_s"] is not None:
        parts.append(f"next step in {slot['due_s']:.1f} s")
    return "; ".join(part for part in parts if part)
