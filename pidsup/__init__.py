"""Linux process supervision on signalfd and pidfd.

What is where, from the top; imports point down only (DESIGN: layers):

cli         the programs `pidsup` and `pidsupctl`: arguments, exit codes, printing
client      Python client of the control socket
control     Varlink over a Unix socket: framing, methods, server
supervisor  the daemon: loop, signals, watchers, changes, table, shutdown
watcher     one command kept running in N slots: the shells around policy
process     a child from birth to the end of its tree; spawning, reaping, exit reports
loop        clock, timers and epoll: the only place that blocks
kernel      the one door to the system that a simulation replaces
linux       one kernel facility per module, over csrc; raises OSError
config      the table of options, the model, loading
policy      pure decisions: lifecycle, restart, stopping, order
errors      the tree of errors

The daemon's resident set is a feature: what it imports uses NamedTuple for
values, because `dataclasses` alone brings inspect, ast and dis (1.3 MB and 9 ms,
CPython 3.11).  `import pidsup` loads nothing.
"""

__version__ = "0.1.0"
