"""A random configuration and random circumstances."""

from __future__ import annotations

from random import Random
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1
from typing import NamedTuple

from pidsup.config.diff import ADD, LIVE, REMOVE, RESTART, Difference
from pidsup.config.model import Config, WatcherSpec
from pidsup.policy.restart import GiveUpAction, Restart, RestartPolicy
from pidsup.policy.stopping import StopPlan, StopStep
from tests.simulation import natures
from tests.simulation.kernel import Faults
from tests.simulation.natures import Temper

_SIGNALS = (int(SIGTERM), int(SIGINT), int(SIGHUP), int(SIGUSR1))


class Circumstances(NamedTuple):
    """What one run is like besides its configuration."""

    temper: Temper
    faults: Faults
    mischief: float  #: things out of order per system call
    group_signals: bool  #: Linux 6.9 or later
    pause_s: float  #: between two things that people do, on average


def circumstances(rng: Random) -> Circumstances:
    """Draw them."""
    return Circumstances(
        temper=natures.temper(rng),
        faults=Faults(
            plan=rng.choice((0.0, 0.0, 0.5)),
            spawn=rng.choice((0.0, 0.05, 0.4)),
            slow=rng.choice((0.0, 0.0, 0.05)),
            pidfd_open=rng.choice((0.0, 0.1)),
            pwrite=rng.choice((0.0, 0.0, 0.0, 0.02)),
            recycled=rng.choice((0.0, 0.1)),
            accept=rng.choice((0.0, 0.2)),
            diag=rng.choice((0.0, 0.0, 0.2)),
        ),
        mischief=rng.choice((0.0, 0.001, 0.005)),
        group_signals=rng.random() < 0.75,
        pause_s=rng.choice((1e-4, 0.02, 0.2, 1.0)),
    )


def configuration(rng: Random) -> Config:
    """Draw one to four watchers; each comes after some of those before it."""
    names = [f"w{i}" for i in range(rng.randrange(1, 5))]
    specs = []
    for i, name in enumerate(names):
        after = tuple(other for other in names[:i] if rng.random() < 0.4)
        spec = _watcher(rng, name, after)
        specs.append(_on_demand(rng, spec) if rng.random() < 0.35 else spec)
    rng.shuffle(specs)
    return Config("simulated", tuple(specs), orphan_timeout_s=rng.choice((0.0, 1.0, 5.0)))


def another(rng: Random, config: Config) -> tuple[Config, list[Difference]]:
    """Draw what somebody makes of a configuration in his editor, and what differs."""
    specs, found = [], []
    for spec in config.watchers:
        chance = rng.random()
        if chance < 0.1:
            found.append(Difference("watchers", spec.name, "", "", None, REMOVE))
            continue
        edited, options = _edited(rng, spec) if chance < 0.6 else (spec, {})
        found += [
            Difference("watchers", spec.name, o, "", "", takes) for o, takes in options.items()
        ]
        specs.append(edited)
    names = [spec.name for spec in specs]
    if rng.random() < 0.3 or not specs:
        taken = [*names, *(spec.name for spec in config.watchers)]
        name = next(f"w{i}" for i in range(99) if f"w{i}" not in taken)
        specs.append(_watcher(rng, name, tuple(n for n in names if rng.random() < 0.2)))
        found.append(Difference("watchers", name, "", None, "", ADD))
    specs = [spec._replace(after=tuple(n for n in spec.after if n in names)) for spec in specs]
    if specs and not found and specs != list(config.watchers):
        found.append(Difference("watchers", specs[0].name, "after", "", "", LIVE))
    rng.shuffle(specs)
    return config._replace(watchers=tuple(specs)), found


def _edited(rng: Random, spec: WatcherSpec) -> tuple[WatcherSpec, dict[str, str]]:
    other = _watcher(rng, spec.name, spec.after)
    takes = {
        "workers": LIVE, "autostart": LIVE, "warmup_delay_s": LIVE, "restart": LIVE,
        "on_give_up": LIVE, "stop_plan": LIVE, "forward_signals": LIVE, "command": RESTART,
    }  # fmt: skip
    chosen = [option for option in takes if rng.random() < 0.25]
    if spec.accept and "restart" in chosen:
        chosen.remove("restart")  # it is "no", and cannot be otherwise
    changed = {option: getattr(other, option) for option in chosen}
    if "command" in changed:
        changed["command"] = (*spec.command[:2], str(rng.random()))
    edited = spec._replace(**changed)
    return edited, {o: takes[o] for o in chosen if getattr(spec, o) != getattr(edited, o)}


def _watcher(rng: Random, name: str, after: tuple[str, ...]) -> WatcherSpec:
    return WatcherSpec(
        name=name,
        command=(f"/bin/{name}", name),
        workers=40 if rng.random() < 0.01 else rng.choice((0, 1, 1, 2, 3, 6)),
        autostart=rng.random() < 0.8,
        after=after,
        warmup_delay_s=rng.choice((0.0, 0.0, 0.05, 0.5)),
        restart=_restart(rng),
        on_give_up=rng.choice((GiveUpAction.STAY, *GiveUpAction)),
        give_up_exit_code=rng.choice((1, 42)),
        stop_plan=_stop_plan(rng),
        environment={},
        type=rng.choice(("exec", "exec", "notify")),
        start_timeout_s=rng.choice((0.05, 1.0, 90.0)),
        watchdog_s=rng.choice((0.0, 0.0, 0.3, 2.0)),
        critical=rng.random() < 0.02,
        forward_signals=rng.choice(((), (), (int(SIGUSR1), int(SIGHUP)))),
    )


def _on_demand(rng: Random, spec: WatcherSpec) -> WatcherSpec:
    """Have a watcher listen; its socket has its name."""
    spec = spec._replace(on_demand=True, sockets=(spec.name,), listen_fds=False)
    if rng.random() < 0.3:
        restart = spec.restart._replace(restart=Restart.NO)
        return spec._replace(accept=True, restart=restart, critical=False)
    return spec._replace(idle_timeout_s=rng.choice((0.0, 0.001, 0.2, 5.0)))


def _restart(rng: Random) -> RestartPolicy:
    return RestartPolicy(
        restart=rng.choice((Restart.ALWAYS, Restart.ALWAYS, Restart.ALWAYS, *Restart)),
        min_uptime_s=rng.choice((0.0, 1.0, 1.0)),
        delay_s=rng.choice((0.0, 0.1, 0.1)),
        max_delay_s=rng.choice((1.0, 30.0)),
        burst=rng.choice((0, 2, 5)),
        interval_s=rng.choice((0.0, 5.0, 60.0)),
    )


def _stop_plan(rng: Random) -> StopPlan:
    return tuple(
        StopStep(rng.choice(_SIGNALS), rng.choice((0.0, 0.01, 1.0, 10.0)), rng.random() < 0.3)
        for _ in range(rng.randrange(1, 4))
    )
