"""How pidsupctl ends: exit codes as of LSB's init script actions and beyond, and its complaints."""

from __future__ import annotations

from pidsup.cli.ctl.words import clean
from pidsup.control.protocol import Message
from pidsup.errors import PidsupError

OK, FAILED, USAGE, NOT_AS_WANTED, NO_RIGHTS, NO_SUCH_NAME, NOT_RUNNING = 0, 1, 2, 3, 4, 5, 7
TIMED_OUT, SUPERSEDED = 8, 10
STATUS_UNKNOWN = 4  # of `status`

CODES = {
    "NoSuchSelector": NO_SUCH_NAME,
    "Superseded": SUPERSEDED,
    "TimedOut": TIMED_OUT,
    "Failed": FAILED,
    "Invalid": USAGE,
    "Denied": NO_RIGHTS,
    "ShuttingDown": FAILED,
}


class Complaint(PidsupError):
    """What ends the program: said on standard error; `code` is the exit code."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def worded(name: str, parameters: Message) -> str:
    """Word an error of the interface."""
    if name == "NoSuchSelector":
        nearest = parameters.get("nearest")
        hint = f", did you mean {nearest!r}?" if nearest else "; pidsupctl status lists them"
        return f"no watcher or slot matches {parameters.get('name')!r}{hint}"
    if name == "Superseded":
        return f"superseded by {parameters.get('by')}"
    if name == "TimedOut":
        change = parameters["change"]
        return (
            f"timed out; change {change['id']} goes on, see: pidsupctl changes {change['id']}"
            f"{_left(change)}"
        )
    if name == "Failed":
        change = parameters["change"]
        if change.get("problems"):
            lines = (f"\n  {clean(problem)}" for problem in change["problems"])
            return f"{change['kind']} failed, nothing was changed:{''.join(lines)}"
        if change["total"] == 0:  # of a signal
            return f"{change['kind']} failed: no worker runs in {clean(change['what'])}"
        return f"{change['kind']} failed{_left(change)}"
    if name == "Invalid":
        return f"{parameters.get('field')}: {parameters.get('why')}"
    if name == "ShuttingDown":
        return "the supervisor is shutting down"
    if name.endswith("MethodNotFound"):
        method = str(parameters.get("method")).rpartition(".")[2]
        return f"the supervisor is older than pidsupctl and has no {method}: restart it"
    return str(parameters.get("why") or name)


def _left(change: Message) -> str:
    """List the tasks that are not done."""
    tasks = [task for task in change["tasks"] if task["state"] != "done"]
    lines = [f"\n  {t['slot']}: {clean(t['reason']) or t['state']}" for t in tasks[:10]]
    if len(tasks) > 10:
        lines.append(f"\n  and {len(tasks) - 10} more")
    return ":" + "".join(lines) if lines else ""
