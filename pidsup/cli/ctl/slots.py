"""Slots in `status`: a line for each, and one for many that are well."""

from __future__ import annotations

from pidsup.cli.ctl.layout import Fact, beside, broken, flow, name_columns
from pidsup.cli.ctl.terminal import Terminal
from pidsup.cli.ctl.words import Times, clean, duration, how_it_ended, many, size
from pidsup.control.protocol import Message

GOOD = ("ready", "completed")
DOWN = ("stopped", "completed")
_OVER = ("stopped", "completed", "failed")

_STATE_COLUMNS = 9  # "completed"
_LARGE = 16  # slots of a watcher from which those that are well share lines, ...
_ALIKE = 4  # ... if there are more than these
_SICK = 50  # lines for those that are not well
_LEAST = 20  # columns for a text


def is_as_wanted(slot: Message) -> bool:
    """Tell whether a slot is up or down as it should be."""
    return slot["state"] in (GOOD if slot["wanted"] else DOWN)


def _is_well(slot: Message) -> bool:
    return is_as_wanted(slot) and not slot.get("output_trouble")


class Slots:
    """Makes the lines of the slots of one answer, all in the same columns."""

    def __init__(
        self,
        slots: list[Message],
        terminal: Terminal,
        times: Times,
        *,
        use: dict[str, tuple[float, int]] | None = None,
        indent: int = 2,
        names: int | None = None,
    ) -> None:
        """Fit the columns to *slots*, those of names too unless there are *names*.

        *use*: processor seconds and bytes by slot, for wide.
        """
        self._terminal = terminal
        self._times = times
        self._use = use
        self._indent = indent
        if names is None:
            names = name_columns((len(slot["name"]) for slot in slots), terminal)
        self._names = names
        self._pids = max((len(str(slot["pid"])) for slot in slots if slot["pid"]), default=0)
        ups = (len(duration(slot["up_s"])) for slot in slots if slot["up_s"] is not None)
        self._ups = max(ups, default=0)

    def line(
        self, slot: Message, name: str | None = None, more: list[Fact] | None = None
    ) -> list[str]:
        """Return the lines of one slot; *more* facts come at the end."""
        before, shown = beside(
            slot["name"] if name is None else name,
            self._names,
            self._terminal,
            indent=self._indent,
            style="" if name is None else "bold",
        )
        start = f"{shown}  {self._terminal.state(slot['state'], _STATE_COLUMNS)}"
        width = self._indent + self._names + 2 + _STATE_COLUMNS
        facts = self._facts(slot) + (more or [])
        return [*before, *flow(start, width, facts, self._terminal), *self._trouble(slot)]

    def _trouble(self, slot: Message) -> list[str]:
        """Return, below a slot, why its output cannot be written."""
        trouble, columns = slot.get("output_trouble"), self._terminal.columns
        if not trouble:
            return []
        indent = self._indent + 2
        room = Terminal(None if columns is None else max(_LEAST, columns - indent))
        lines = broken(f"output: {clean(trouble)}", room)
        return [" " * indent + self._terminal.paint("red", line) for line in lines]

    def _facts(self, slot: Message) -> list[Fact]:
        facts: list[Fact] = []
        if slot["pid"] is not None:
            facts.append(("", f"pid {slot['pid']:<{self._pids}}"))
        if slot["up_s"] is not None:
            facts.append(("", f"up {duration(slot['up_s']):<{self._ups}}"))
        if slot.get("reloading"):
            facts.append(("", "reloading"))
        if slot["state"] != "ready":
            facts += self._why(slot)
        if self._use is not None:
            facts += self._wide(slot)
        if slot["restarts"]:
            facts.append(("", f"restarts {slot['restarts']}"))
        last = slot["last_exit"]
        if last and slot["state"] == "ready" and (slot["restarts"] or self._use is not None):
            facts.append(("", f"last {how_it_ended(last)}"))
        if slot.get("dropped_bytes"):
            facts.append(("red", f"{size(slot['dropped_bytes'])} of output dropped"))
        if last and slot["state"] in ("backoff", "failed") and last.get("last_lines"):
            facts.append(("cut", f"last line: {clean(last['last_lines'][-1])}"))
        if slot.get("status") and slot["pid"] is not None:
            facts.append(("cut", f"says: {clean(slot['status'])}"))
        return facts

    def _why(self, slot: Message) -> list[Fact]:
        facts: list[Fact] = []
        if slot["reason"]:
            facts.append(("", clean(slot["reason"])))
        if slot["due_s"] is not None:
            what = "retry" if slot["state"] == "backoff" else "next step"
            facts.append(("bold", f"{what} in {duration(slot['due_s'])}"))
        elif slot["state"] in _OVER and slot["last_exit"]:
            facts.append(("", self._times.ago(slot["for_s"])))
        return facts

    def _wide(self, slot: Message) -> list[Fact]:
        facts: list[Fact] = []
        if self._use is not None and slot["name"] in self._use and slot["pid"]:
            cpu_s, rss = self._use[slot["name"]]
            facts += [("", f"cpu {duration(cpu_s):<6}"), ("", f"mem {size(rss):<4}")]
        if slot["serial"]:
            facts.append(("", f"#{slot['serial']}"))
        if slot.get("generation"):
            facts.append(("", f"gen {slot['generation']}"))
        return facts

    def of(self, watcher: Message, *, everyone: bool) -> list[str]:
        """Return the lines of a watcher's slots; without *everyone* those that are well share."""
        slots = watcher["slots"]
        if watcher["state"] == "listening" and not everyone:  # those without a worker are as ever
            slots = [slot for slot in slots if slot["pid"] is not None or not _is_well(slot)]
        if everyone or len(slots) <= _LARGE:
            return [text for slot in slots for text in self.line(slot)]
        lines: list[str] = []
        alike: dict[str, list[Message]] = {}
        for slot in slots:
            if _is_well(slot):
                alike.setdefault(slot["state"], []).append(slot)
        folded = {state for state, group in alike.items() if len(group) > _ALIKE}
        for state in sorted(folded):
            lines += self._together(watcher["name"], state, alike[state])
        single = [s for s in slots if not (_is_well(s) and s["state"] in folded)]
        for slot in single[:_SICK]:
            lines += self.line(slot)
        if len(single) > _SICK:
            lines.append(f"{' ' * self._indent}and {len(single) - _SICK} more: --all shows them")
        return lines

    def _together(self, name: str, state: str, slots: list[Message]) -> list[str]:
        shown = f"{name}:{ranges([_index(slot) for slot in slots])}"
        facts: list[Fact] = [("", many(len(slots), "slot"))]
        ups = sorted(slot["up_s"] for slot in slots if slot["up_s"] is not None)
        if ups:
            shortest, longest = duration(ups[0]), duration(ups[-1])
            same = shortest == longest
            facts.append(("", f"up {shortest}" + ("" if same else f" to {longest}")))
        if self._use is not None:
            used = [self._use[slot["name"]] for slot in slots if slot["name"] in self._use]
            facts.append(("", f"cpu {duration(sum(cpu for cpu, _ in used))}"))
            facts.append(("", f"mem {size(sum(rss for _, rss in used))}"))
        restarts = sum(slot["restarts"] for slot in slots)
        if restarts:
            facts.append(("", f"restarts {restarts}"))
        dropped = sum(slot.get("dropped_bytes", 0) for slot in slots)
        if dropped:
            facts.append(("red", f"{size(dropped)} of output dropped"))
        start = f"{' ' * self._indent}{shown:{self._names}}  "
        width = len(start) + _STATE_COLUMNS
        return flow(
            start + self._terminal.state(state, _STATE_COLUMNS), width, facts, self._terminal
        )


def _index(slot: Message) -> int:
    return int(slot["name"].rpartition(":")[2])


def ranges(numbers: list[int], most: int = 3) -> str:
    """Word ascending numbers: 0-4,6-99; what is behind *most* ranges is "..."."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in found]
    return ",".join(words[:most] + (["..."] if len(words) > most else []))
