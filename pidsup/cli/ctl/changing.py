"""Commands that change something: start, stop, restart, scale, signal, apply, shutdown."""

from __future__ import annotations

from pidsup.cli.codes import INTERRUPTED
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK, USAGE, Complaint
from pidsup.cli.ctl.progress import Patience, Progress, under_way
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import put_json, standard_output
from pidsup.cli.ctl.words import many
from pidsup.client import Client
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Any


def start(given: Given, client: Client) -> int:
    """Want the selected to run."""
    return _do(given, client, "Start", selectors=given.selectors)


def stop(given: Given, client: Client) -> int:
    """Want the selected to be down."""
    return _do(given, client, "Stop", selectors=given.selectors)


def restart(given: Given, client: Client) -> int:
    """Want new workers in the selected."""
    return _do(given, client, "Restart", selectors=given.selectors)


def scale(given: Given, client: Client) -> int:
    """Want a number of workers, or more, or fewer."""
    for name in given.watchers:
        if ":" in name:
            watcher = name.partition(":")[0]
            raise Complaint(f"scale takes watchers, not slots: {watcher!r}, not {name!r}", USAGE)
    given.selectors = given.watchers
    field = "by" if given.count[0] in "+-" else "workers"
    return _do(given, client, "Scale", selectors=given.selectors, **{field: int(given.count)})


def shutdown(given: Given, client: Client) -> int:
    """Stop everything and end the supervisor."""
    given.selectors = []
    return _do(given, client, "Shutdown")


def apply(given: Given, client: Client) -> int:
    """Want the supervisor to be as its configuration says now."""
    given.selectors = []
    if given.dry_run:
        from pidsup.cli.ctl.diff import dry_run

        return dry_run(given, client)
    return _do(given, client, "Apply")


def signal(given: Given, client: Client) -> int:
    """Send a signal."""
    answer = client.call(
        "Signal",
        within_s=PATIENCE_S,
        selectors=given.selectors,
        signal=given.signal,
        whom=given.to,
    )
    _tell(given, client, answer)
    return OK


def _do(given: Given, client: Client, method: str, **parameters: object) -> int:
    asked: dict[str, Any] = {**parameters, "wait": not given.no_wait}
    if given.timeout is not None:
        asked["timeout_ms"] = round(given.timeout * 1000)
    terminal = standard_output(given.color)
    try:
        if given.no_wait:
            answer = client.call(method, within_s=PATIENCE_S, **asked)
        elif terminal.live and given.output == "table" and not given.quiet:
            with Progress(given, terminal) as progress:
                for answer in client.stream(method, **asked):
                    progress.change = answer["change"]
        else:
            answer = client.call(
                method,
                when_slow=None if given.quiet else Patience(given).tell,
                within_s=None if given.timeout is None else PATIENCE_S + given.timeout,
                **asked,
            )
    except KeyboardInterrupt:
        raise Complaint(_interrupted(given), INTERRUPTED) from None
    _tell(given, client, answer)
    return OK


def _interrupted(given: Given) -> str:
    change = under_way(given)
    if change is None:
        return "not waited for: the change goes on, see: pidsupctl changes"
    return f"not waited for: the change goes on, see: pidsupctl changes {change['id']}"


def _tell(given: Given, client: Client, answer: Message) -> None:
    if given.quiet:
        return
    if given.output == "json":
        put_json(answer)
    elif answer["change"]["total"] == 0 and given.selectors:
        print(nothing_to_do(answer["change"], _watchers(given, client)))
    else:
        print(summary(answer["change"]))


def _watchers(given: Given, client: Client) -> list[Message]:
    """Ask how the watchers stand that the change was about."""
    status = client.call("Status", within_s=PATIENCE_S, selectors=given.selectors)
    return list(status["watchers"])


def nothing_to_do(change: Message, watchers: list[Message]) -> str:
    """Say why a change is about no slot at all."""
    return f"{change['kind']}: nothing to do, {'; '.join(map(_at_rest, watchers))}"


def _at_rest(watcher: Message) -> str:
    name, workers = watcher["name"], watcher["workers"]
    if workers == 0:
        return f"{name} is scaled to 0 (pidsupctl scale {name} 1 is more)"
    if not watcher["running"]:
        return f"{name} is stopped; started, it has {many(workers, 'worker')}"
    return f"{name} has {many(workers, 'worker')}"


def summary(change: Message) -> str:
    """Word a change in a line."""
    slots = many(change.get("total", len(change["tasks"])), "slot")
    if change["kind"] == "apply" and change["state"] == "done" and not change["total"]:
        slots = "no slot had to change"
    if change["state"] == "doing":
        return f"{change['kind']}: under way as change {change['id']}, {slots}"
    return f"{change['kind']}: {change['state']}, {slots}"
