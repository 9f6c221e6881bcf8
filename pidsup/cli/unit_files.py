"""What stands in the unit files that come with pidsup, for a machine and its systemd.

Pure.  The files in units/ are as the newest systemd and a package of a distribution have
them; here they are made to fit an older one, and where pidsup is.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from pidsup.errors import PidsupError

OLDEST = 252  #: systemd that pidsup works with

#: Lines that older versions do not know, and what stands there instead.
_SINCE = {
    "Type=notify-reload": (253, "Type=notify\n"),
    "RestartSteps=": (254, ""),
    "RestartMaxDelaySec=": (254, ""),
}
_SEAL = re.compile(r"# Written by pidsup install-units, sha256 ([0-9a-f]{16});.*\n")


class CannotInstall(PidsupError):
    """There is no unit for this."""


class Place(NamedTuple):
    """Where the units will be, and what they call."""

    pidsup: str  #: as in ExecStart=
    pidsupctl: str
    version: int  #: of systemd
    has_pages: bool  #: whether man finds ours


def fitted(text: str, place: Place) -> str:
    """Return a unit as this systemd understands it, with the paths of this pidsup."""
    lines = []
    for line in text.splitlines(keepends=True):
        fits = _fitted(line, place)
        fits = fits.replace("/usr/bin/pidsup ", f"{place.pidsup} ")
        lines.append(fits.replace("/usr/bin/pidsupctl ", f"{place.pidsupctl} "))
    return "".join(lines)


def _fitted(line: str, place: Place) -> str:
    for beginning, (since, instead) in _SINCE.items():
        if line.startswith(beginning) and place.version < since:
            return instead
    if line.startswith("Documentation=man:") and not place.has_pages:
        return ""  # or `systemd-analyze verify` complains
    return line


def quoted(path: str) -> str:
    """Return a program as ExecStart= has to begin with it; a $ is not special there.

    systemd.service(5), "Command lines".
    """
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w./@%+:-]+", path) else f'"{escaped}"'


# --- files that are still as they were written


def sealed(text: str) -> str:
    """Return a file's text behind a line that tells whether somebody has changed it since."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    how = "add to it by a drop-in"
    return f"# Written by pidsup install-units, sha256 {digest}; {how}.\n{text}"


def is_as_written(text: str) -> bool:
    """Tell whether a file is as `sealed` has made it, by this version or another."""
    seal = _SEAL.match(text)
    return seal is not None and sealed(text[seal.end() :]).startswith(seal[0][: seal.end(1)])
