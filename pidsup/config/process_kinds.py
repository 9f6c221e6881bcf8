"""The kinds of values that describe a process: limits, capabilities, processors, how it stops.

Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pidsup.config.hints import hint
from pidsup.config.kind import Kind, Parts, Value, must_be
from pidsup.config.kinds import choice
from pidsup.config.quantities import (
    DURATION,
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration,
    size,
)
from pidsup.config.signals import SIGNAL, any_case

#: getrlimit(2); the numbers are the same on x86-64 and aarch64.
RLIMITS = {
    name: number
    for number, name in enumerate(
        "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice "
        "rtprio rttime".split()
    )
}
_INFINITY = -1

#: capabilities(7), linux/capability.h.
CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio "
    "sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time "
    "sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog "
    "wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
).split()

IO_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}  # ioprio_set(2)
# Four digits: the largest kernels have CONFIG_NR_CPUS=8192.
_RANGE = re.compile(r"\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?")


def rlimits(value: object) -> list[Value]:
    """Take a table of limits; return [resource, soft, hard], -1 for infinity."""
    if not isinstance(value, dict):
        raise must_be('a table of limits such as { nofile = 65536, core = "infinity" }', value)
    parts = Parts()
    found: list[Value] = []
    for name, item in value.items():
        if name not in RLIMITS:
            parts.refuse(
                name, f"there is no such limit{hint(name, RLIMITS) or ': see getrlimit(2)'}"
            )
        else:
            found.append(parts.read(name, _limit_of(name), item))
    parts.done()
    return found


def _limit_of(name: str) -> Callable[[object], Value]:
    amount = {"cpu": _seconds, "rttime": _microseconds}.get(name, size)

    def parse(value: object) -> Value:
        soft, colon, hard = value.partition(":") if isinstance(value, str) else (value, "", "")
        low = _limit(soft, amount)
        high = _limit(hard, amount) if colon else low
        if low > high != _INFINITY or (low == _INFINITY != high):
            raise must_be("two limits of which the first, the soft one, is not larger", value)
        return [RLIMITS[name], low, high]

    return parse


def _limit(value: object, amount: Callable[[object], int]) -> int:
    if isinstance(value, str) and value.strip() == "infinity":
        return _INFINITY
    return amount(value)


def _seconds(value: object) -> int:
    return math.ceil(duration(value))


def _microseconds(value: object) -> int:
    """Take a bare number for microseconds, as LimitRTTIME= of systemd.exec(5) does."""
    if isinstance(value, str) and not value.strip().isdecimal():
        return round(duration(value) * 1e6)
    return size(value)


def capabilities(value: object) -> int:
    """Take an array of names, CAP_CHOWN or chown; return their mask."""
    if not isinstance(value, list):
        value = [value]
    parts = Parts()
    mask = 0
    for i, item in enumerate(value):
        name = item.lower().removeprefix("cap_") if isinstance(item, str) else ""
        if name in CAPABILITIES:
            mask |= 1 << CAPABILITIES.index(name)
        else:
            near = hint(name, CAPABILITIES) or ": see capabilities(7)"
            parts.refuse(i, f"there is no capability {item!r}{near}")
    parts.done()
    return mask


def processors(value: object) -> list[Value]:
    """Take "0-3,8", or an array of numbers and such ranges."""
    items = value.split(",") if isinstance(value, str) else value
    found: set[int] = set()
    for item in items if isinstance(items, list) else [items]:
        match = None if isinstance(item, bool) else _RANGE.fullmatch(str(item))
        first = int(match[1]) if match else 1
        last = int(match[2] or first) if match else 0
        if not first <= last:
            raise must_be('processors such as "0-3,8" or [0, 1]', value)
        found.update(range(first, last + 1))
    in_order: list[Value] = [*sorted(found)]
    return in_order


def io_class(value: object) -> int:
    """Take the name of a class of ioprio_set(2); return its number."""
    return IO_CLASSES[str(_IO_CLASS_NAME.parse(value))]


_STEP = {
    "signal": (SIGNAL, "TERM"),
    "timeout": (DURATION, "10s"),
    "to": (choice("main", "all"), "main"),
}
_PLAN = "an array of tables such as { signal, timeout, to }"


def stop_plan(value: object) -> list[Value]:
    """Take an array of tables {signal, timeout, to}; return them complete."""
    if not isinstance(value, list) or not value:
        raise must_be(_PLAN, value)
    parts = Parts()
    steps = [parts.read(i, _stop_step, step) for i, step in enumerate(value)]
    parts.done()
    return steps


def _stop_step(step: object) -> Value:
    if not isinstance(step, dict):
        raise must_be("a table such as { signal, timeout, to }", step)
    parts = Parts()
    for key in step:
        if key not in _STEP:
            parts.refuse(key, f"unknown key; known are {', '.join(_STEP)}")
    full = {
        key: parts.read(key, kind.parse, step.get(key, default))
        for key, (kind, default) in _STEP.items()
    }
    parts.done()
    return full


_IO_CLASS_NAME = choice(*IO_CLASSES)


def _limits(amount: str) -> dict[str, object]:
    """Return the schema of a limit whose amounts, as text, have this pattern."""
    one = rf"(\s*infinity\s*|{amount})"
    text = {"type": "string", "pattern": f"^{one}(:{one})?$"}
    return {"anyOf": [{"type": "number", "minimum": 0}, text]}


_CAPABILITY = {
    "anyOf": [
        {"enum": CAPABILITIES},
        {
            "type": "string",
            "pattern": f"^({any_case('CAP_')})?({'|'.join(map(any_case, CAPABILITIES))})$",
        },
    ]
}
_PROCESSORS = r"\s*[0-9]{1,4}\s*(-\s*[0-9]{1,4}\s*)?"

RLIMITS_TABLE = Kind(
    "table of limits",
    rlimits,
    {
        "type": "object",
        "properties": {
            name: _limits(DURATION_PATTERN if name in ("cpu", "rttime") else SIZE_PATTERN)
            for name in RLIMITS
        },
        "additionalProperties": False,
    },
)
CAPABILITY_SET = Kind(
    "array of capabilities",
    capabilities,
    {"anyOf": [_CAPABILITY, {"type": "array", "items": _CAPABILITY}]},
)
PROCESSORS = Kind(
    "processors",
    processors,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 9999},
            {"type": "string", "pattern": f"^{_PROCESSORS}(,{_PROCESSORS})*$"},
            {
                "type": "array",
                "items": {
                    "anyOf": [
                        {"type": "integer", "minimum": 0, "maximum": 9999},
                        {"type": "string", "pattern": f"^{_PROCESSORS}$"},
                    ]
                },
            },
        ]
    },
)
IO_CLASS = Kind(_IO_CLASS_NAME.name, io_class, _IO_CLASS_NAME.schema)
STOP_PLAN = Kind(
    "array of tables",
    stop_plan,
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                key: {**kind.schema, "default": default} for key, (kind, default) in _STEP.items()
            },
            "additionalProperties": False,
        },
    },
)
