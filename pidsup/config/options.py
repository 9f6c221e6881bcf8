"""The one table of options.

Pure.  Loading, the JSON Schema, the reference page and, later, the diff are made from it.
Defaults are written as a user would write them.
"""

from __future__ import annotations

from pidsup.config import kinds, process_kinds, signals
from pidsup.config.address import ADDRESS, PASSED_NAME
from pidsup.config.kinds import (
    ACCESS,
    ACCOUNT,
    ACCOUNTS,
    BOOLEAN,
    MODE,
    NAME,
    NAMES,
    PATH,
    PATHS,
    TEXT,
    array,
    choice,
    integer,
    number,
)
from pidsup.config.option import AT_LOAD, AT_START, REQUIRED, Option, in_parts
from pidsup.config.quantities import DURATION, SIZE

_OUTPUTS = ("auto", "journal", "console", "capture", "inherit", "null")

SUPERVISOR: dict[str, Option] = {
    "name": Option(
        NAME,
        None,
        "Name of this supervisor: its runtime directory, and `pidsupctl -n NAME`.  "
        "Default: the name of the file without its suffix.",
        applies="never",
    ),
    "console_format": Option(
        choice("prefixed", "json"),
        "prefixed",
        "How the output of workers appears on the supervisor's own: lines behind the name of "
        "their slot, or a JSON object per line.",
        applies="never",
    ),
    "orphan_timeout": Option(
        DURATION,
        "5s",
        "At the end, what workers have left behind gets SIGTERM, and SIGKILL after this time.",
        applies="live",
    ),
    "control_socket": Option(
        BOOLEAN,
        True,
        "Listen for `pidsupctl`.  Without, nobody can ask or steer this supervisor.",
        applies="never",
    ),
    "log_level": Option(
        choice("info", "warning", "error"),
        "info",
        "What the supervisor says of itself on standard error.",
        applies="live",
        circus="loglevel",
    ),
}

CONTROL: dict[str, Option] = {
    "read": Option(
        ACCESS,
        [],
        "Who may look: users, or groups behind an @.  Root and the supervisor's own user may do "
        "everything, nobody else anything, unless named here.",
        applies="live",
    ),
    "operate": Option(
        ACCESS,
        [],
        "Who may also start, stop, restart, scale and signal.",
        applies="live",
    ),
    "admin": Option(ACCESS, [], "Who may do everything, shutdown included.", applies="live"),
}

_ADDRESS = {
    "listen": Option(
        ADDRESS,
        None,
        'Where to listen: "127.0.0.1:8080", "[::1]:8080", "8080" (all addresses, both '
        'families), "/run/shop/web.sock", "@name" (abstract).  Port 0 takes a free one, which '
        "status shows.  {env.NAME} is filled in when the file is read.",
        applies="reopen",
        fills=AT_LOAD,
        systemd="ListenStream=, ListenDatagram=, ListenSequentialPacket=",
        circus="host, port, path",
    ),
    "systemd": Option(
        PASSED_NAME,
        None,
        "The name of a socket that systemd passes, FileDescriptorName= of its unit; "
        '"http:1" is the second of that name.  With `listen` too, that is for where there is '
        "no socket activation: a terminal, a container.",
        applies="live",
        systemd="FileDescriptorName=",
    ),
    "type": Option(
        choice("stream", "datagram", "seqpacket"),
        "stream",
        "Datagram is UDP with an address and a port; seqpacket is for paths and abstract names.",
        applies="reopen",
        circus="type",
    ),
    "reuse_port": Option(
        BOOLEAN,
        False,
        "SO_REUSEPORT: others may listen on the same port.",
        applies="reopen",
        systemd="ReusePort=",
        circus="so_reuseport",
    ),
    "ipv6_only": Option(
        BOOLEAN,
        False,
        "IPV6_V6ONLY: an IPv6 socket takes no IPv4.",
        applies="reopen",
        systemd="BindIPv6Only=",
    ),
    "free_bind": Option(
        BOOLEAN,
        False,
        "IP_FREEBIND: listen on an address that the machine does not have yet.",
        applies="reopen",
        systemd="FreeBind=",
    ),
    "bind_to_device": Option(
        TEXT,
        None,
        "SO_BINDTODEVICE: only what comes by this network interface.",
        applies="reopen",
        systemd="BindToDevice=",
        circus="interface",
    ),
}

_CONNECTIONS = {
    "backlog": Option(
        integer(1),
        4096,
        "Connections that wait to be accepted; net.core.somaxconn limits it.",
        applies="live",
        systemd="Backlog=",
        circus="backlog",
    ),
    "blocking": Option(
        BOOLEAN,
        False,
        "Pass it without O_NONBLOCK, for programs that expect accept(2) to wait.",
        applies="reopen",
        systemd="NonBlocking=",
        circus="blocking",
    ),
    "keepalive": Option(
        BOOLEAN, False, "SO_KEEPALIVE, for connections.", applies="live", systemd="KeepAlive="
    ),
    "nodelay": Option(
        BOOLEAN, False, "TCP_NODELAY, for connections.", applies="live", systemd="NoDelay="
    ),
    "receive_buffer": Option(
        SIZE,
        None,
        "SO_RCVBUF.  Default: the kernel's.",
        applies="reopen",
        systemd="ReceiveBuffer=",
    ),
    "send_buffer": Option(
        SIZE, None, "SO_SNDBUF.  Default: the kernel's.", applies="reopen", systemd="SendBuffer="
    ),
}

_OWNER = {
    "mode": Option(
        MODE,
        "0666",
        "Permissions of a path.",
        applies="live",
        systemd="SocketMode=",
        circus="umask",
    ),
    "user": Option(ACCOUNT, None, "Owner of a path.", applies="live", systemd="SocketUser="),
    "group": Option(ACCOUNT, None, "Group of a path.", applies="live", systemd="SocketGroup="),
}

SOCKET = in_parts(
    {
        "Address": _ADDRESS,
        "Connections": _CONNECTIONS,
        "Owner of a path": _OWNER,
    }
)

_WHAT = {
    "command": Option(
        kinds.COMMAND,
        REQUIRED,
        "The program and its arguments; no shell is involved.  A string is split into words.  "
        "A program without a slash is looked up in PATH at each start.",
        systemd="ExecStart=",
        circus="cmd, args, shell, executable",
        fills=AT_START,
    ),
    "workers": Option(
        integer(0, 100_000),
        1,
        "How many copies run, one per slot.",
        applies="live",
        circus="numprocesses",
    ),
    "autostart": Option(
        BOOLEAN, True, "Start with the supervisor.", applies="live", circus="autostart"
    ),
    "after": Option(
        NAMES,
        [],
        "Start once these watchers have been started, stop before they do.  Orders only.",
        applies="live",
        systemd="After=",
        circus="priority",
    ),
    "singleton": Option(
        BOOLEAN,
        False,
        "There is never more than one worker, and scaling beyond is refused.",
        applies="live",
        circus="singleton",
    ),
    "critical": Option(
        BOOLEAN,
        False,
        "When it has ended for good, completed or failed, the supervisor stops everything and "
        "exits with the worker's code; 128 and the signal's number if it was killed.",
        applies="live",
    ),
    "foreground": Option(
        BOOLEAN,
        False,
        "It gets the supervisor's standard input and, if that is a terminal, the terminal's "
        "attention: Ctrl-C is its own.  For one watcher with one worker.",
    ),
    "type": Option(
        choice("exec", "notify"),
        "exec",
        "When a worker counts as ready: exec, once its program has been executed; notify, once it "
        "says READY=1 as of sd_notify(3).",
        systemd="Type=",
    ),
    "start_timeout": Option(
        DURATION,
        "90s",
        "How long a worker may take to become ready; then it is stopped, and counts as failed.  "
        "0: as long as it likes.",
        applies="live",
        systemd="TimeoutStartSec=",
    ),
    "watchdog": Option(
        DURATION,
        "0s",
        "A worker that is ready has to say WATCHDOG=1 at least this often, sd_notify(3), or it is "
        "ended by watchdog_signal and counts as failed.  It finds the time in WATCHDOG_USEC.  "
        "0: no watchdog.",
        systemd="WatchdogSec=",
    ),
    "watchdog_signal": Option(
        signals.SIGNAL,
        "ABRT",
        "Ends a worker whose watchdog has run out, with a core dump where that is allowed; "
        "SIGKILL follows after the last timeout of its stop plan.",
        applies="live",
        systemd="WatchdogSignal=",
    ),
    "file_descriptor_store_max": Option(
        integer(0, 1000),
        0,
        "How many descriptors a worker can have kept, by FDSTORE=1 as of sd_notify(3), for the "
        "next worker of its slot, which gets them behind its sockets.",
        systemd="FileDescriptorStoreMax=",
    ),
    "min_ready": Option(
        integer(0),
        None,
        "How many of its workers must be ready before systemd is told that the supervisor is.  "
        "Default: all.",
        applies="live",
    ),
}

_ACTIVATION = {
    "on_demand": Option(
        BOOLEAN,
        False,
        "No worker runs until the first connection, or datagram, comes to one of its sockets, "
        "which are its alone.  A worker may end by itself when it has nothing to do: the default "
        "of `restart` is on-failure here.",
        systemd="Sockets=",
        circus="on_demand",
    ),
    "idle_timeout": Option(
        DURATION,
        "0s",
        "A watcher on demand stops when no connection has been open for this long, and listens "
        "again.  Looked at every quarter of it, but at least every 5 s and at most every 50 ms.  "
        "0: never.",
        applies="live",
    ),
    "accept": Option(
        BOOLEAN,
        False,
        "One process per connection, which it gets as descriptor 3, or as standard input and "
        "output if stdin_socket names the socket.  `workers` of them at once, 64 by default, the "
        "others wait; `restart` is no.",
        systemd="Accept=, MaxConnections=",
    ),
}

_RESTARTING = {
    "restart": Option(
        choice(
            "no",
            "always",
            "on-success",
            "on-failure",
            "on-abnormal",
            "on-abort",
            "on-watchdog",
        ),
        "always",
        "After which ends a worker is started again, as in systemd.service(5).",
        applies="live",
        systemd="Restart=",
        circus="respawn",
    ),
    "min_uptime": Option(
        DURATION,
        "1s",
        "A worker that was ready for this long is restarted at once; one that was not, after "
        "restart_delay.  0: always at once.",
        applies="live",
    ),
    "restart_delay": Option(
        DURATION,
        "100ms",
        "Delay after the first failure; at least 10 ms.",
        applies="live",
        systemd="RestartSec=",
    ),
    "restart_factor": Option(
        number(1, 100),
        2,
        "Growth of the delay with each further failure.",
        applies="live",
        systemd="RestartSteps=",
    ),
    "restart_max_delay": Option(
        DURATION,
        "30s",
        "The delay grows no further than this.",
        applies="live",
        systemd="RestartMaxDelaySec=",
    ),
    "restart_jitter": Option(
        number(0, 1),
        0.2,
        "Up to this part of the delay is added at random, so that a herd spreads out.",
        applies="live",
    ),
    "start_limit_burst": Option(
        integer(0),
        5,
        "A slot is given up when it fails more often than this within start_limit_interval.",
        applies="live",
        systemd="StartLimitBurst=",
        circus="max_retry",
    ),
    "start_limit_interval": Option(
        DURATION,
        "1min",
        "See start_limit_burst.  0: never give up.",
        applies="live",
        systemd="StartLimitIntervalSec=",
    ),
    "on_give_up": Option(
        choice("stay", "stop", "exit"),
        "stay",
        "When a slot is given up: stay, it is failed and others run; stop, the watcher stops; "
        "exit, the supervisor stops everything and exits with give_up_exit_code.",
        applies="live",
        systemd="FailureAction=",
    ),
    "give_up_exit_code": Option(
        integer(0, 255),
        1,
        "See on_give_up.",
        applies="live",
        systemd="FailureActionExitStatus=",
    ),
    "warmup_delay": Option(
        DURATION,
        "0s",
        "Time between the starts of two workers, when started, restarted or scaled by command.",
        applies="live",
        circus="warmup_delay",
    ),
}

_STOPPING = {
    "stop_signal": Option(
        signals.SIGNAL,
        "TERM",
        "Asks a worker to stop.",
        applies="live",
        systemd="KillSignal=",
        circus="stop_signal",
    ),
    "stop_timeout": Option(
        DURATION,
        "10s",
        "How long a worker may take to stop; then its whole tree gets SIGKILL.",
        applies="live",
        systemd="TimeoutStopSec=",
        circus="graceful_timeout",
    ),
    "stop_plan": Option(
        process_kinds.STOP_PLAN,
        None,
        "Instead of stop_signal and stop_timeout: steps {signal, timeout, to = main | all}, one "
        "after the other; then SIGKILL to the tree.",
        applies="live",
    ),
    "forward_signals": Option(
        array(signals.FORWARDED, "signals"),
        [],
        "Signals to the supervisor that are passed on to these workers: USR1, USR2, HUP, ...",
        applies="live",
    ),
}

_SOCKETS = {
    "sockets": Option(
        NAMES,
        [],
        "Sockets that the workers get, as descriptors from 3 in this order, as of "
        "sd_listen_fds(3).  {sockets.NAME} is the number.",
        systemd="Sockets=",
        circus="use_sockets",
    ),
    "listen_fds": Option(
        BOOLEAN,
        True,
        "Say in LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID which sockets there are; false for "
        "programs that take them by number and are confused by both.",
    ),
    "stdin_socket": Option(
        NAME,
        None,
        "A socket that the workers get as their standard input.",
        systemd="StandardInput=socket",
        circus="stdin_socket",
    ),
}

_ENVIRONMENT = {
    "environment": Option(
        kinds.ENVIRONMENT,
        {},
        "Added to what the supervisor's own environment has.",
        systemd="Environment=",
        circus="env",
        fills=AT_START,
    ),
    "environment_file": Option(
        PATHS,
        [],
        "Files of NAME=value lines, read with the configuration; a leading - lets one be "
        "missing.  `environment` counts for more.",
        systemd="EnvironmentFile=",
        fills=AT_LOAD,
    ),
    "inherit_environment": Option(
        BOOLEAN,
        True,
        "Begin with the supervisor's own environment; else with PATH alone.",
        circus="copy_env, copy_path",
    ),
    "working_directory": Option(
        PATH,
        None,
        "Entered as the worker's user.  Default: where the supervisor runs.",
        systemd="WorkingDirectory=",
        circus="working_dir",
        fills=AT_START,
    ),
    "umask": Option(
        MODE,
        None,
        'Permissions that new files do not get, "0027".',
        systemd="UMask=",
    ),
}

_RIGHTS = {
    "user": Option(
        ACCOUNT,
        None,
        "Whom the worker runs as, with that user's groups; needs root.",
        systemd="User=",
        circus="uid",
    ),
    "group": Option(ACCOUNT, None, "Default: the user's group.", systemd="Group=", circus="gid"),
    "supplementary_groups": Option(
        ACCOUNTS,
        [],
        "More groups, beside those of the user.",
        systemd="SupplementaryGroups=",
    ),
    "no_new_privs": Option(
        BOOLEAN,
        False,
        "No program that it executes gains privileges, PR_SET_NO_NEW_PRIVS.",
        systemd="NoNewPrivileges=",
    ),
    "capability_bounding_set": Option(
        process_kinds.CAPABILITY_SET,
        None,
        "The capabilities that it can ever have: names as in capabilities(7); needs root.",
        systemd="CapabilityBoundingSet=",
    ),
    "ambient_capabilities": Option(
        process_kinds.CAPABILITY_SET,
        [],
        "Capabilities that it has though it is not root.",
        systemd="AmbientCapabilities=",
    ),
}

_LIMITS = {
    "nice": Option(
        integer(-20, 19),
        None,
        "Scheduling priority, from -20 (first) to 19.",
        systemd="Nice=",
    ),
    "io_scheduling_class": Option(
        process_kinds.IO_CLASS,
        None,
        '"realtime", "best-effort" or "idle", ioprio_set(2).',
        systemd="IOSchedulingClass=",
    ),
    "io_scheduling_priority": Option(
        integer(0, 7),
        4,
        "Within the class, from 0 (first) to 7.",
        systemd="IOSchedulingPriority=",
    ),
    "cpu_affinity": Option(
        process_kinds.PROCESSORS,
        [],
        'The processors it may run on: "0-3,8" or [0, 1].',
        systemd="CPUAffinity=",
    ),
    "oom_score_adjust": Option(
        integer(-1000, 1000),
        None,
        "How readily the kernel kills it when memory runs out, from -1000 (never) to 1000.",
        systemd="OOMScoreAdjust=",
    ),
    "rlimits": Option(
        process_kinds.RLIMITS_TABLE,
        {},
        'Resource limits of getrlimit(2): { nofile = 65536, core = "infinity", '
        'stack = "8M:64M" }, a soft and a hard one, or one for both.',
        systemd="Limit*=",
        circus="rlimit_*",
    ),
}

_OUTPUT = {
    "stdout": Option(
        kinds.output(*_OUTPUTS),
        "auto",
        "Where standard output goes: auto, the journal if the supervisor's own output goes there, "
        "else console; journal, systemd's; console, the supervisor's own, line by line; capture, "
        "nowhere but `pidsupctl logs`; inherit, the supervisor's own, directly; null; or the "
        "path of a file, whose directory is there.",
        systemd="StandardOutput=",
        circus="stdout_stream*, close_child_stdout",
        fills=AT_START,
    ),
    "stderr": Option(
        kinds.output("stdout", *_OUTPUTS),
        "auto",
        "The same for standard error; stdout, into the same.",
        systemd="StandardError=",
        circus="stderr_stream*, close_child_stderr",
        fills=AT_START,
    ),
    "log_format": Option(
        choice("raw", "prefixed", "json"),
        "raw",
        "What a file gets: the bytes as they come; lines behind time and slot; or a JSON object "
        "per line.",
    ),
    "log_max_size": Option(
        SIZE,
        "50M",
        "A file of this size is rotated: it becomes FILE.1, and so on.  0: never.",
        circus="max_bytes",
    ),
    "log_max_age": Option(DURATION, "0s", "A file of this age is rotated.  0: never."),
    "log_keep": Option(
        integer(0, 1000),
        10,
        "How many rotated files are kept.",
        circus="backup_count",
    ),
    "log_compress": Option(choice("none", "gzip"), "none", "What is done with rotated files."),
    "log_policy": Option(
        choice("block", "drop"),
        "block",
        "What a worker faces that writes faster than its output can be taken: block, it waits; "
        "drop, what does not fit the queue is dropped, and counted.",
    ),
    "log_queue": Option(SIZE, "1M", "How much may wait to be written."),
    "log_memory": Option(
        SIZE,
        "32K",
        "How much of its last output is kept per slot, for `pidsupctl logs`; "
        "half of it for standard error, unless that goes where standard output does.",
    ),
}

WATCHER = in_parts(
    {
        "What runs": _WHAT,
        "Restarting": _RESTARTING,
        "Stopping and signals": _STOPPING,
        "Sockets": _SOCKETS,
        "Activation": _ACTIVATION,
        "Environment": _ENVIRONMENT,
        "User and rights": _RIGHTS,
        "Scheduling and limits": _LIMITS,
        "Output": _OUTPUT,
    }
)

#: Other defaults where an option of a watcher is on, in this order; what a file says counts
#: for more.
IMPLIED: dict[str, dict[str, object]] = {
    "on_demand": {"restart": "on-failure"},
    "accept": {"on_demand": True, "restart": "no", "workers": 64},
}
