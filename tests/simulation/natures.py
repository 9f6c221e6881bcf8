"""What simulated processes do with their lives, drawn from a seed."""

from __future__ import annotations

from enum import Enum
from random import Random
from signal import SIGABRT, SIGKILL, SIGSEGV, SIGTERM
from typing import NamedTuple

from pidsup.kernel import Exit


class Birth(Enum):
    """What a forked process does first."""

    STAY = "stay"  #: stays in the group
    LEAVE = "leave"  #: setsid(2), at once or a little later
    DAEMON = "daemon"  #: its parent ends at once: an orphan of the group
    GONE = "gone"  #: both, as daemon(3) does


class Fork(NamedTuple):
    """A child to be had."""

    after_s: float  #: its parent's birth
    birth: Birth


class Nature(NamedTuple):
    """One process; times are seconds, None is never."""

    lives_s: float | None = None
    ending: Exit = Exit(0, None)  #: what a natural end looks like
    stops_s: float | None = 0.0  #: after TERM, INT, QUIT; 0: dies of it
    hears_s: float | None = None  #: the same for the other signals that can be caught
    stuck_s: float = 0.0  #: how long after a deadly signal: in state D
    reaps_s: float | None = 0.0  #: after the death of a child
    leaves_s: float | None = None  #: setsid(2)
    forks: tuple[Fork, ...] = ()
    replaces: int = 0  #: so many of its children, when they are dead and reaped
    foreign: bool = False  #: runs as another user: signals are EPERM
    ready_s: float | None = 0.0  #: after which a worker says that it is ready, if it is asked to
    feeds_s: float = 0.1  #: between two times that it says that it lives
    feeds: int = 1000  #: how often it does


class Temper(NamedTuple):
    """How bad the processes of one run are; each a probability."""

    short: float
    stubborn: float
    fertile: float
    foreign: float


CALM = Temper(0.0, 0.0, 0.0, 0.0)
_ENDINGS = (
    Exit(0, None),
    Exit(0, None),
    Exit(1, None),
    Exit(78, None),
    Exit(None, int(SIGTERM)),
    Exit(None, int(SIGKILL)),
    Exit(None, int(SIGSEGV)),
    Exit(None, int(SIGABRT), True),
)
#: From "between two system calls" to "for a while".
_SPANS = (0.0, 2e-6, 8e-6, 3e-5, 2e-4, 2e-3, 0.03, 0.2, 0.9, 1.2, 5.0, 25.0)


def span(rng: Random) -> float:
    """Draw a time of any order of magnitude."""
    return rng.choice(_SPANS) * (0.5 + rng.random())


def temper(rng: Random) -> Temper:
    """Draw a temper."""
    return Temper(
        short=rng.choice((0.1, 0.4, 0.8)),
        stubborn=rng.choice((0.0, 0.2, 0.6)),
        fertile=rng.choice((0.0, 0.3, 0.9)),
        foreign=rng.choice((0.0, 0.0, 0.05)),
    )


def worker(rng: Random, temper: Temper) -> Nature:
    """Draw what a worker does; in calm it serves until it is asked to stop."""
    nature = _draw(rng, temper, generation=0)
    if temper is not CALM:
        nature = nature._replace(
            ready_s=rng.choice((0.0, 0.0, span(rng), span(rng), None)),
            feeds_s=rng.choice((0.05, 0.2, 1.0)),
            feeds=rng.choice((0, 3, 100)),
        )
    # Whom nobody can end has to end by himself.
    return nature._replace(lives_s=span(rng)) if nature.foreign else nature


def descendant(rng: Random, temper: Temper, birth: Birth, generation: int) -> Nature:
    """Draw what a process that was forked does."""
    nature = _draw(rng, temper, generation)
    leaves_s: float | None = None
    if birth in (Birth.LEAVE, Birth.GONE):
        leaves_s = rng.choice((0.0, 0.0, span(rng)))
    if nature.foreign or (generation > 1 and nature.lives_s is None):
        nature = nature._replace(lives_s=span(rng))
    return nature._replace(leaves_s=leaves_s)


def _draw(rng: Random, temper: Temper, generation: int) -> Nature:
    if temper is CALM:
        return Nature()
    chance = rng.random
    stubborn = chance() < temper.stubborn
    forks: list[Fork] = []
    if generation < 3 and chance() < temper.fertile / (1 + generation):
        births = tuple(Birth)
        forks = [Fork(span(rng), rng.choice(births)) for _ in range(rng.randrange(1, 4))]
    return Nature(
        lives_s=span(rng) if chance() < temper.short else None,
        ending=rng.choice(_ENDINGS),
        stops_s=None if stubborn else rng.choice((0.0, 0.0, span(rng))),
        hears_s=rng.choice((0.0, None, None, span(rng))),
        stuck_s=rng.choice((0.0, span(rng), span(rng))) if stubborn else 0.0,
        reaps_s=rng.choice((0.0, 0.0, None, span(rng))),
        forks=tuple(forks),
        replaces=rng.choice((0, 0, 5)) if forks else 0,
        foreign=chance() < temper.foreign,
    )
