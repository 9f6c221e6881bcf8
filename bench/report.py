"""Collect what was measured, compare it with the floor and with the marks, print it."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

BASELINE = "floor"


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one peer in one case, in the order taken."""

    measure: str
    case: str
    peer: str
    unit: str
    samples: list[float]

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The 99th percentile: the largest of fewer than 100 samples."""
        return sorted(self.samples)[math.ceil(0.99 * len(self.samples)) - 1]


@dataclass(frozen=True, slots=True)
class Mark:
    """A figure that must not be larger than agreed."""

    what: str
    value: float
    at_most: float

    @property
    def met(self) -> bool:
        """Whether the figure is small enough."""
        return self.value <= self.at_most


@dataclass(slots=True)
class Sheet:
    """All results of one run."""

    series: list[Series] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    others: dict[str, float] = field(default_factory=dict)  #: CPUs that others kept busy

    def add(self, measure: str, case: str, peer: str, unit: str, samples: list[float]) -> None:
        """Note the samples of one peer, and show them."""
        series = Series(measure, case, peer, unit, samples)
        self.series.append(series)
        print(self._row(series), file=sys.stderr, flush=True)

    def mark(self, what: str, value: float, *, at_most: float) -> None:
        """Note how a figure compares with its mark."""
        self.marks.append(Mark(what, value, at_most))

    def mark_ratio(self, measure: str, case: str, *, at_most: float) -> None:
        """Note how pidsup's multiple of the floor compares with its mark."""
        ratio = self.ratio(measure, case)
        if ratio is not None:
            self.mark(f"{measure}, {case}: pidsup / {BASELINE}", ratio, at_most=at_most)

    def find(self, measure: str, case: str, peer: str) -> Series | None:
        """Return the series noted for these, if there is one."""
        wanted = (measure, case, peer)
        return next((s for s in self.series if (s.measure, s.case, s.peer) == wanted), None)

    def ratio(self, measure: str, case: str, peer: str = "pidsup") -> float | None:
        """Return the ratio of the medians of *peer* and the floor, if both were measured."""
        ours, theirs = self.find(measure, case, peer), self.find(measure, case, BASELINE)
        if ours is None or theirs is None or theirs.median == 0:
            return None
        return ours.median / theirs.median

    def render(self) -> str:
        """Return the results as Markdown."""
        lines = [
            f"{date.today()}, {machine()}",
            "",
            f"| measure | case | peer | unit | k | median | p99 | max | / {BASELINE} |",
            "|---|---|---|---|--:|--:|--:|--:|--:|",
            *map(self._row, self.series),
        ]
        if self.marks:
            lines += ["", "| mark | value | at most | |", "|---|--:|--:|---|"]
        for mark in self.marks:
            verdict = "met" if mark.met else "MISSED"
            lines.append(f"| {mark.what} | {mark.value:.3g} | {mark.at_most:g} | {verdict} |")
        busy = ", ".join(f"{name} {cpus:.2f}" for name, cpus in self.others.items())
        return "\n".join([*lines, "", f"CPUs kept busy by others meanwhile: {busy}"])

    def save(self, path: Path) -> None:
        """Write all samples to *path*, as JSON."""
        content = {"machine": machine(), "date": str(date.today()), **asdict(self)}
        path.write_text(json.dumps(content, indent=1) + "\n")

    def _row(self, series: Series) -> str:
        ratio = self.ratio(series.measure, series.case, series.peer)
        return (
            f"| {series.measure} | {series.case} | {series.peer} | {series.unit} "
            f"| {len(series.samples)} | {series.median:.4g} | {series.p99:.4g} "
            f"| {max(series.samples):.4g} | {'' if ratio is None else f'{ratio:.2f}'} |"
        )


def machine() -> str:
    """Return the kind of machine and the versions that matter."""
    processors = os.cpu_count()
    return (
        f"{processors} CPUs {platform.machine()}, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )
