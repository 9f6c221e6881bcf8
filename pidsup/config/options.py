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
_OUTPUT = Kind("inherit | null", kinds.choice("inherit", "null"))

SUPERVISOR: dict[str, Option] = {
    "name": Option(
        _TEXT,
        None,
        "Name of this supervisor: its runtime directory, and `pidsupctl -n NAME`.  "
        "Default: the name of the file without its suffix.",
    ),
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
    "user": Option(
        _ACCOUNT,
        None,
        "Whom the worker runs as, with that user's groups; needs root.",
        systemd="User=",
        circus="uid",
    ),
    "group": Option(_ACCOUNT, None, "Default: the user's group.", systemd="Group=", circus="gid"),
    "stdout": Option(
        _OUTPUT,
        "inherit",
        "Where standard output goes: inherit, the supervisor's own; null, nowhere.",
        systemd="StandardOutput=",
        circus="stdout_stream",
    ),
    "stderr": Option(
        _OUTPUT,
        "inherit",
        "The same for standard error.",
        systemd="StandardError=",
        circus="stderr_stream",
    ),
}
