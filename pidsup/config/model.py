"""What the daemon knows of its configuration: made from the expanded values.

Pure.  The expanded configuration is plain JSON: {"name": ..., "files": [...],
"supervisor": {option: value}, "control": {option: value}, "sockets": {NAME: {option:
value}}, "watchers": {NAME: {option: value}}} with every option present, in the order of
the files.  Placeholders are still in it: they are filled per slot (config/expand.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pidsup.policy.restart import GiveUpAction, Restart, RestartPolicy
from pidsup.policy.stopping import StopPlan, StopStep


class Attributes(NamedTuple):
    """What a worker's process is like; None leaves it as the supervisor has it."""

    user: str | None = None
    group: str | None = None
    supplementary_groups: tuple[str, ...] = ()
    working_directory: str | None = None
    umask: int | None = None
    nice: int | None = None
    io_class: int | None = None  #: IOPRIO_CLASS_*, ioprio_set(2)
    io_priority: int = 4
    cpus: tuple[int, ...] = ()
    oom_score_adjust: int | None = None
    rlimits: tuple[tuple[int, int, int], ...] = ()  #: resource, soft, hard; -1: infinity
    no_new_privs: bool = False
    bounding: int | None = None  #: mask of the capabilities that stay
    ambient: int = 0


class OutputSpec(NamedTuple):
    """What becomes of a watcher's output."""

    stdout: str = "null"  #: console, capture, inherit, null, or the path of a file
    stderr: str = "null"  #: the same, or stdout
    format: str = "raw"  #: of files: raw, prefixed, json
    max_size_bytes: int = 0  #: rotate a file of this size; 0: never
    max_age_s: float = 0.0  #: rotate a file of this age; 0: never
    keep: int = 10  #: rotated files
    compress: bool = False
    block: bool = True  #: who is too fast waits; else lines are dropped, and counted
    queue_bytes: int = 1 << 20  #: waiting to be written, per file
    memory_bytes: int = 1 << 15  #: of last output, per slot


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
    environment: Mapping[str, str]  #: environment_file included
    inherit_environment: bool = True
    attributes: Attributes = Attributes()
    output: OutputSpec = OutputSpec()
    sockets: tuple[str, ...] = ()  #: passed as descriptors from 3, in this order
    listen_fds: bool = True  #: and said in LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID
    stdin_socket: str | None = None  #: a socket that is passed as standard input
    singleton: bool = False
    critical: bool = False
    foreground: bool = False
    forward_signals: tuple[int, ...] = ()
    type: str = "exec"  #: what makes a worker ready: exec, notify
    start_timeout_s: float = 90.0  #: until it is; 0: no limit
    watchdog_s: float = 0.0  #: 0: none
    watchdog_signal: int = 6
    fd_store_max: int = 0
    min_ready: int | None = None  #: for systemd to be told; None: all that are wanted
    on_demand: bool = False
    idle_timeout_s: float = 0.0  #: 0: never
    accept: bool = False  #: one process per connection


class SocketSpec(NamedTuple):
    """One listening socket as configured."""

    name: str
    listen: str  #: "HOST:PORT", "[IPv6]:PORT", "PORT", "/path", "@abstract"; "": systemd's alone
    type: str = "stream"  #: stream, datagram, seqpacket
    backlog: int = 4096
    blocking: bool = False
    reuse_port: bool = False
    keepalive: bool = False
    nodelay: bool = False
    ipv6_only: bool = False
    free_bind: bool = False
    receive_buffer: int | None = None
    send_buffer: int | None = None
    bind_to_device: str | None = None
    mode: int = 0o666  #: of a path
    user: str | None = None  #: of a path
    group: str | None = None  #: of a path
    systemd: str | None = None  #: name of one that systemd passes, "http" or "http:1"


class Access(NamedTuple):
    """Who may use the control socket: "USER", "UID" or "@GROUP", "@GID"."""

    read: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()


class Config(NamedTuple):
    """The whole configuration."""

    name: str
    watchers: tuple[WatcherSpec, ...]  #: in the order of the file
    sockets: tuple[SocketSpec, ...] = ()
    access: Access = Access()
    console_format: str = "prefixed"  #: prefixed, json
    orphan_timeout_s: float = 5.0
    control_socket: bool = True
    log_level: str = "info"  #: info, warning, error
    files: tuple[str, ...] = ()  #: that it was read from


def config(expanded: Mapping[str, Any]) -> Config:
    """Make the model of an expanded configuration, which the loader has checked."""
    supervisor, control = expanded["supervisor"], expanded["control"]
    return Config(
        name=expanded["name"],
        watchers=tuple(watcher_spec(name, v) for name, v in expanded["watchers"].items()),
        sockets=tuple(socket_spec(name, v) for name, v in expanded["sockets"].items()),
        access=Access(*(tuple(control[role]) for role in Access._fields)),
        console_format=supervisor["console_format"],
        orphan_timeout_s=supervisor["orphan_timeout"],
        control_socket=supervisor["control_socket"],
        log_level=supervisor["log_level"],
        files=tuple(expanded["files"]),
    )


def socket_spec(name: str, values: Mapping[str, Any]) -> SocketSpec:
    """Make one socket of its complete option values."""
    return SocketSpec(name=name, **{**values, "listen": values["listen"] or ""})


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
        environment=values["environment"],
        inherit_environment=values["inherit_environment"],
        attributes=_attributes(values),
        output=_output(values),
        sockets=tuple(values["sockets"]),
        listen_fds=values["listen_fds"],
        stdin_socket=values["stdin_socket"],
        singleton=values["singleton"],
        critical=values["critical"],
        foreground=values["foreground"],
        forward_signals=tuple(values["forward_signals"]),
        type=values["type"],
        start_timeout_s=values["start_timeout"],
        watchdog_s=values["watchdog"],
        watchdog_signal=values["watchdog_signal"],
        fd_store_max=values["file_descriptor_store_max"],
        min_ready=values["min_ready"],
        on_demand=values["on_demand"],
        idle_timeout_s=values["idle_timeout"],
        accept=values["accept"],
    )


def _attributes(values: Mapping[str, Any]) -> Attributes:
    return Attributes(
        user=values["user"],
        group=values["group"],
        supplementary_groups=tuple(values["supplementary_groups"]),
        working_directory=values["working_directory"],
        umask=values["umask"],
        nice=values["nice"],
        io_class=values["io_scheduling_class"],
        io_priority=values["io_scheduling_priority"],
        cpus=tuple(values["cpu_affinity"]),
        oom_score_adjust=values["oom_score_adjust"],
        rlimits=tuple((which, soft, hard) for which, soft, hard in values["rlimits"]),
        no_new_privs=values["no_new_privs"],
        bounding=values["capability_bounding_set"],
        ambient=values["ambient_capabilities"],
    )


def _output(values: Mapping[str, Any]) -> OutputSpec:
    return OutputSpec(
        stdout=values["stdout"],
        stderr=values["stderr"],
        format=values["log_format"],
        max_size_bytes=values["log_max_size"],
        max_age_s=values["log_max_age"],
        keep=values["log_keep"],
        compress=values["log_compress"] == "gzip",
        block=values["log_policy"] == "block",
        queue_bytes=values["log_queue"],
        memory_bytes=values["log_memory"],
    )


def _stop_plan(values: Mapping[str, Any]) -> StopPlan:
    if values["stop_plan"] is None:
        return (StopStep(values["stop_signal"], values["stop_timeout"]),)
    return tuple(
        StopStep(step["signal"], step["timeout"], step["to"] == "all")
        for step in values["stop_plan"]
    )
