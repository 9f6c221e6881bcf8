"""The one table of options.

Pure.  Loading, the reference page and, later, schema and diff are made from it.
Defaults are what a kind returns: plain JSON values, durations in seconds.
"""

from __future__ import annotations

from typing import NamedTuple

from pidsup.config import kinds
from pidsup.config.kinds import Kind, Value


class Option(NamedTuple):
    """One option of a section."""

    kind: Kind
    default: Value  #: in expanded form; REQUIRED where there is none
    text: str  #: one or two sentences for the reference
    applies: str = "restart"  #: when a changed value takes effect: live, restart
    systemd: str = ""  #: systemd's name for it
    circus: str = ""  #: Circus' name for it


REQUIRED: Value = "required"

_BOOL = Kind("boolean", kinds.boolean)
_TEXT = Kind("string", kinds.text)
_PATH = Kind("path", kinds.text)
_DURATION = Kind("duration", kinds.duration)
_ACCOUNT = Kind("name or number", kinds.account)
_SIZE = Kind("size", kinds.size)
_NAMES = Kind("array of names", kinds.names)
_ACCOUNTS = Kind("array of names or numbers", kinds.accounts)
_CAPABILITIES = Kind("array of capabilities", kinds.capabilities)

SUPERVISOR: dict[str, Option] = {
    "name": Option(
        _TEXT,
        None,
        "Name of this supervisor: its runtime directory, and `pidsupctl -n NAME`.  "
        "Default: the name of the file without its suffix.",
    ),
    "console_format": Option(
        Kind("choice", kinds.choice("prefixed", "json")),
        "prefixed",
        "How the output of workers appears on the supervisor's own: lines behind the name of "
        "their slot, or a JSON object per line.",
    ),
    "orphan_timeout": Option(
        _DURATION,
        5.0,
        "At the end, what workers have left behind gets SIGTERM, and SIGKILL after this time.",
        applies="live",
    ),
}

CONTROL: dict[str, Option] = {
    "read": Option(
        _ACCOUNTS,
        [],
        "Who may look: users, or groups behind an @.  Root and the supervisor's own user may do "
        "everything, nobody else anything, unless named here.",
        applies="live",
    ),
    "operate": Option(
        _ACCOUNTS,
        [],
        "Who may also start, stop, restart, scale and signal.",
        applies="live",
    ),
    "admin": Option(_ACCOUNTS, [], "Who may do everything, shutdown included.", applies="live"),
}

SOCKET: dict[str, Option] = {
    "listen": Option(
        Kind("address", kinds.address),
        REQUIRED,
        'Where to listen: "127.0.0.1:8080", "[::1]:8080", "8080" (all addresses, both '
        'families), "/run/shop/web.sock", "@name" (abstract).  Port 0 takes a free one, which '
        "status shows.",
        systemd="ListenStream=",
        circus="host, port, path",
    ),
    "type": Option(
        Kind("choice", kinds.choice("stream", "datagram", "seqpacket")),
        "stream",
        "Datagram is UDP with an address and a port; seqpacket is for paths and abstract names.",
        systemd="ListenDatagram=",
        circus="type",
    ),
    "backlog": Option(
        Kind("whole number", kinds.integer(1)),
        4096,
        "Connections that wait to be accepted; net.core.somaxconn limits it.",
        systemd="Backlog=",
        circus="backlog",
    ),
    "blocking": Option(
        _BOOL,
        False,
        "Pass it without O_NONBLOCK, for programs that expect accept(2) to wait.",
        systemd="NonBlocking=",
        circus="blocking",
    ),
    "reuse_port": Option(
        _BOOL,
        False,
        "SO_REUSEPORT: others may listen on the same port.",
        systemd="ReusePort=",
        circus="so_reuseport",
    ),
    "keepalive": Option(_BOOL, False, "SO_KEEPALIVE, for connections.", systemd="KeepAlive="),
    "nodelay": Option(_BOOL, False, "TCP_NODELAY, for connections.", systemd="NoDelay="),
    "ipv6_only": Option(
        _BOOL, False, "IPV6_V6ONLY: an IPv6 socket takes no IPv4.", systemd="BindIPv6Only="
    ),
    "free_bind": Option(
        _BOOL,
        False,
        "IP_FREEBIND: listen on an address that the machine does not have yet.",
        systemd="FreeBind=",
    ),
    "receive_buffer": Option(
        _SIZE, None, "SO_RCVBUF.  Default: the kernel's.", systemd="ReceiveBuffer="
    ),
    "send_buffer": Option(_SIZE, None, "SO_SNDBUF.  Default: the kernel's.", systemd="SendBuffer="),
    "bind_to_device": Option(
        _TEXT,
        None,
        "SO_BINDTODEVICE: only what comes by this network interface.",
        systemd="BindToDevice=",
        circus="interface",
    ),
    "mode": Option(
        Kind("octal mode", kinds.mode),
        0o666,
        "Permissions of a path.",
        systemd="SocketMode=",
        circus="umask",
    ),
    "user": Option(_ACCOUNT, None, "Owner of a path.", systemd="SocketUser="),
    "group": Option(_ACCOUNT, None, "Group of a path.", systemd="SocketGroup="),
}

WATCHER: dict[str, Option] = {
    "command": Option(
        Kind("array of strings", kinds.command),
        REQUIRED,
        "The program and its arguments; no shell is involved.  A string is split into words.  "
        "A program without a slash is looked up in PATH at each start.",
        systemd="ExecStart=",
        circus="cmd",
    ),
    "workers": Option(
        Kind("whole number", kinds.integer(0, 100_000)),
        1,
        "How many copies run, one per slot.",
        applies="live",
        circus="numprocesses",
    ),
    "type": Option(
        Kind("exec", kinds.choice("exec")),
        "exec",
        "When a worker counts as ready: exec, once its program has been executed.",
        systemd="Type=",
    ),
    "autostart": Option(
        _BOOL, True, "Start with the supervisor.", applies="live", circus="autostart"
    ),
    "after": Option(
        Kind("array of names", kinds.names),
        [],
        "Start once these watchers have been started, stop before they do.  Orders only.",
        applies="live",
        systemd="After=",
        circus="priority",
    ),
    "warmup_delay": Option(
        _DURATION,
        0.0,
        "Time between the starts of two workers, when started, restarted or scaled by command.",
        applies="live",
        circus="warmup_delay",
    ),
    "restart": Option(
        Kind(
            "choice",
            kinds.choice(
                "no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"
            ),
        ),
        "always",
        "After which ends a worker is started again, as in systemd.service(5).",
        applies="live",
        systemd="Restart=",
        circus="respawn",
    ),
    "min_uptime": Option(
        _DURATION,
        1.0,
        "A worker that was ready for this long is restarted at once; one that was not, after "
        "restart_delay.  0: always at once.",
        applies="live",
    ),
    "restart_delay": Option(
        _DURATION,
        0.1,
        "Delay after the first failure; at least 10 ms.",
        applies="live",
        systemd="RestartSec=",
    ),
    "restart_factor": Option(
        Kind("number", kinds.number(1, 100)),
        2.0,
        "Growth of the delay with each further failure.",
        applies="live",
        systemd="RestartSteps=",
    ),
    "restart_max_delay": Option(
        _DURATION,
        30.0,
        "The delay grows no further than this.",
        applies="live",
        systemd="RestartMaxDelaySec=",
    ),
    "restart_jitter": Option(
        Kind("number", kinds.number(0, 1)),
        0.2,
        "Up to this part of the delay is added at random, so that a herd spreads out.",
        applies="live",
    ),
    "start_limit_burst": Option(
        Kind("whole number", kinds.integer(0)),
        5,
        "A slot is given up when it fails more often than this within start_limit_interval.",
        applies="live",
        systemd="StartLimitBurst=",
        circus="max_retry",
    ),
    "start_limit_interval": Option(
        _DURATION,
        60.0,
        "See start_limit_burst.  0: never give up.",
        applies="live",
        systemd="StartLimitIntervalSec=",
    ),
    "on_give_up": Option(
        Kind("choice", kinds.choice("stay", "stop", "exit")),
        "stay",
        "When a slot is given up: stay, it is failed and others run; stop, the watcher stops; "
        "exit, the supervisor stops everything and exits with give_up_exit_code.",
        applies="live",
        systemd="FailureAction=",
    ),
    "give_up_exit_code": Option(
        Kind("whole number", kinds.integer(0, 255)),
        1,
        "See on_give_up.",
        applies="live",
        systemd="FailureActionExitStatus=",
    ),
    "stop_signal": Option(
        Kind("signal", kinds.signal_number),
        15,
        "Asks a worker to stop.",
        applies="live",
        systemd="KillSignal=",
        circus="stop_signal",
    ),
    "stop_timeout": Option(
        _DURATION,
        10.0,
        "How long a worker may take to stop; then its whole tree gets SIGKILL.",
        applies="live",
        systemd="TimeoutStopSec=",
        circus="graceful_timeout",
    ),
    "stop_plan": Option(
        Kind("array of tables", kinds.stop_plan),
        None,
        "Instead of stop_signal and stop_timeout: steps {signal, timeout, to = main | all}, one "
        "after the other; then SIGKILL to the tree.",
        applies="live",
    ),
    "forward_signals": Option(
        Kind("array of signals", kinds.signals),
        [],
        "Signals to the supervisor that are passed on to these workers: USR1, USR2, HUP, ...",
        applies="live",
    ),
    "singleton": Option(
        _BOOL,
        False,
        "There is never more than one worker, and scaling beyond is refused.",
        applies="live",
        circus="singleton",
    ),
    "critical": Option(
        _BOOL,
        False,
        "When it has ended for good, completed or failed, the supervisor stops everything and "
        "exits with the worker's code; 128 and the signal's number if it was killed.",
        applies="live",
    ),
    "sockets": Option(
        _NAMES,
        [],
        "Sockets that the workers get, as descriptors from 3 in this order, with LISTEN_FDS, "
        "LISTEN_FDNAMES and LISTEN_PID as of sd_listen_fds(3).  {sockets.NAME} is the number.",
        systemd="Sockets=",
        circus="use_sockets",
    ),
    "stdin_socket": Option(
        _TEXT,
        None,
        "A socket that the workers get as their standard input.",
        systemd="StandardInput=socket",
        circus="stdin_socket",
    ),
    "working_directory": Option(
        _PATH,
        None,
        "Entered as the worker's user.  Default: where the supervisor runs.",
        systemd="WorkingDirectory=",
        circus="working_dir",
    ),
    "environment": Option(
        Kind("table of strings", kinds.environment),
        {},
        "Added to what the supervisor's own environment has.",
        systemd="Environment=",
        circus="env",
    ),
    "environment_file": Option(
        Kind("array of paths", kinds.names),
        [],
        "Files of NAME=value lines, read with the configuration; a leading - lets one be "
        "missing.  `environment` counts for more.",
        systemd="EnvironmentFile=",
    ),
    "inherit_environment": Option(
        _BOOL,
        True,
        "Begin with the supervisor's own environment; else with PATH alone.",
        circus="copy_env",
    ),
    "user": Option(
        _ACCOUNT,
        None,
        "Whom the worker runs as, with that user's groups; needs root.",
        systemd="User=",
        circus="uid",
    ),
    "group": Option(_ACCOUNT, None, "Default: the user's group.", systemd="Group=", circus="gid"),
    "supplementary_groups": Option(
        _ACCOUNTS,
        [],
        "More groups, beside those of the user.",
        systemd="SupplementaryGroups=",
    ),
    "umask": Option(
        Kind("octal mode", kinds.mode),
        None,
        'Permissions that new files do not get, "0027".',
        systemd="UMask=",
    ),
    "nice": Option(
        Kind("whole number", kinds.integer(-20, 19)),
        None,
        "Scheduling priority, from -20 (first) to 19.",
        systemd="Nice=",
    ),
    "io_scheduling_class": Option(
        Kind("choice", kinds.io_class),
        None,
        '"realtime", "best-effort" or "idle", ioprio_set(2).',
        systemd="IOSchedulingClass=",
    ),
    "io_scheduling_priority": Option(
        Kind("whole number", kinds.integer(0, 7)),
        4,
        "Within the class, from 0 (first) to 7.",
        systemd="IOSchedulingPriority=",
    ),
    "cpu_affinity": Option(
        Kind("processors", kinds.processors),
        [],
        'The processors it may run on: "0-3,8" or [0, 1].',
        systemd="CPUAffinity=",
    ),
    "oom_score_adjust": Option(
        Kind("whole number", kinds.integer(-1000, 1000)),
        None,
        "How readily the kernel kills it when memory runs out, from -1000 (never) to 1000.",
        systemd="OOMScoreAdjust=",
    ),
    "rlimits": Option(
        Kind("table of limits", kinds.rlimits),
        [],
        'Resource limits of getrlimit(2): { nofile = 65536, core = "infinity", '
        'stack = "8M:64M" }, a soft and a hard one, or one for both.',
        systemd="LimitNOFILE=, ...",
        circus="rlimit_*",
    ),
    "no_new_privs": Option(
        _BOOL,
        False,
        "No program that it executes gains privileges, PR_SET_NO_NEW_PRIVS.",
        systemd="NoNewPrivileges=",
    ),
    "capability_bounding_set": Option(
        _CAPABILITIES,
        None,
        "The capabilities that it can ever have: names as in capabilities(7); needs root.",
        systemd="CapabilityBoundingSet=",
    ),
    "ambient_capabilities": Option(
        _CAPABILITIES,
        0,
        "Capabilities that it has though it is not root.",
        systemd="AmbientCapabilities=",
    ),
    "stdout": Option(
        Kind("output", kinds.output),
        "console",
        "Where standard output goes: console, the supervisor's own, line by line; capture, "
        "nowhere but `pidsupctl logs`; inherit, the supervisor's own, directly; null; or the "
        "path of a file.",
        systemd="StandardOutput=",
        circus="stdout_stream",
    ),
    "stderr": Option(
        Kind("output", kinds.stderr_output),
        "console",
        "The same for standard error; stdout, into the same.",
        systemd="StandardError=",
        circus="stderr_stream",
    ),
    "log_format": Option(
        Kind("choice", kinds.choice("raw", "prefixed", "json")),
        "raw",
        "What a file gets: the bytes as they come; lines behind time and slot; or a JSON object "
        "per line.",
    ),
    "log_max_size": Option(
        _SIZE,
        50 << 20,
        "A file of this size is rotated: it becomes FILE.1, and so on.  0: never.",
        circus="max_bytes",
    ),
    "log_max_age": Option(_DURATION, 0.0, "A file of this age is rotated.  0: never."),
    "log_keep": Option(
        Kind("whole number", kinds.integer(0, 1000)),
        10,
        "How many rotated files are kept.",
        circus="backup_count",
    ),
    "log_compress": Option(
        Kind("choice", kinds.choice("none", "gzip")), "none", "What is done with rotated files."
    ),
    "log_policy": Option(
        Kind("choice", kinds.choice("block", "drop")),
        "block",
        "What a worker faces that writes faster than its output can be taken: block, it waits; "
        "drop, what does not fit the queue is dropped, and counted.",
    ),
    "log_queue": Option(_SIZE, 1 << 20, "How much may wait to be written."),
    "log_memory": Option(
        _SIZE, 1 << 15, "How much of its last output is kept per slot, for `pidsupctl logs`."
    ),
}
