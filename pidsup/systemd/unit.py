"""The unit that a process is in, as its cgroup tells; cgroups(7), systemd's CGROUP_INTERFACE."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """A unit of the system's manager, or of a user's."""

    name: str = ""  #: "" where there is none
    user: int | None = None  #: whose manager it is of; None: the system's

    @property
    def fields(self) -> dict[str, str]:
        """Return what an entry about it has in the journal, systemd.journal-fields(7)."""
        if not self.name:
            return {}
        return {"UNIT" if self.user is None else "USER_UNIT": self.name}


def of_cgroups(text: str) -> Unit:
    """Return the unit of the process whose /proc/PID/cgroup this is."""
    paths = {}
    for line in filter(None, text.split("\n")):  # other ends of lines may be in a name
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path
    # On a machine that still has the old hierarchies one of these is systemd's.
    found = (_of_path(paths.get(controllers, "")) for controllers in ("", "name=systemd"))
    return next((unit for unit in found if unit.name), Unit())


def _of_path(path: str) -> Unit:
    parts = _within_slices([part.removeprefix("_") for part in path.split("/") if part])
    if not parts:
        return Unit()
    name = parts[0]
    uid = name.removeprefix("user@").removesuffix(".service")
    within = _within_slices(parts[1:])
    if name.startswith("user@") and uid.isdecimal() and within:
        return Unit(within[0], int(uid))
    return Unit(name)


def _within_slices(parts: list[str]) -> list[str]:
    """Return what is below slices, from a unit on; [] where there is none."""
    depth = 0
    while depth < len(parts) and parts[depth].endswith(".slice"):
        depth += 1
    below = parts[depth:]
    return below if below and below[0].endswith((".service", ".scope")) else []


def of_myself() -> Unit:
    """Return the unit that we are in."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            return of_cgroups(file.read())
    except OSError:
        return Unit()
