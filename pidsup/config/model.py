"""What the daemon knows of its configuration: made from the expanded values.

Pure.  The expanded configuration is plain JSON: {"name": ..., "watchers":
{NAME: {option: value}}} with every option present, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pidsup.policy.restart import GiveUpAction, Restart, RestartPolicy
from pidsup.policy.stopping import StopPlan, StopStep


class WatcherSpec(NamedTuple):
    """One watcher as configured; times are seconds."""

    name: str
    command: tuple[str, ...]
    workers: int
    autostart: bool
    after: tuple[str, ...]
    warmup_delay_s: float
    restart: RestartPolicy
    on_give_up: GiveUpAction
    give_up_exit_code: int
    stop_plan: StopPlan
    working_directory: str | None
    environment: Mapping[str, str]
    user: str | None
    group: str | None
    stdout: str
    stderr: str


class Config(NamedTuple):
    """The whole configuration."""

    name: str
    watchers: tuple[WatcherSpec, ...]  #: in the order of the file


def config(expanded: Mapping[str, Any]) -> Config:
    """Make the model of an expanded configuration, which the loader has checked."""
    watchers = (watcher_spec(name, values) for name, values in expanded["watchers"].items())
    return Config(expanded["name"], tuple(watchers))


def watcher_spec(name: str, values: Mapping[str, Any]) -> WatcherSpec:
    """Make one watcher of its complete option values."""
    return WatcherSpec(
        name=name,
        command=tuple(values["command"]),
        workers=values["workers"],
        autostart=values["autostart"],
        after=tuple(values["after"]),
        warmup_delay_s=values["warmup_delay"],
        restart=RestartPolicy(
            restart=Restart(values["restart"]),
            min_uptime_s=values["min_uptime"],
            delay_s=values["restart_delay"],
            factor=values["restart_factor"],
            max_delay_s=values["restart_max_delay"],
            jitter=values["restart_jitter"],
            burst=values["start_limit_burst"],
            interval_s=values["start_limit_interval"],
        ),
        on_give_up=GiveUpAction(values["on_give_up"]),
        give_up_exit_code=values["give_up_exit_code"],
        stop_plan=_stop_plan(values),
        working_directory=values["working_directory"],
        environment=values["environment"],
        user=values["user"],
        group=values["group"],
        stdout=values["stdout"],
        stderr=values["stderr"],
    )


def _stop_plan(values: Mapping[str, Any]) -> StopPlan:
    if values["stop_plan"] is None:
        return (StopStep(values["stop_signal"], values["stop_timeout"]),)
    return tuple(
        StopStep(step["signal"], step["timeout"], step["to"] == "all")
        for step in values["stop_plan"]
    )
