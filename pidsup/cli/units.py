"""`pidsup install-units`: write units for systemd, for this pidsup and this systemd."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from pidsup.cli.codes import FAILURE, OK, USAGE
from pidsup.cli.socket_units import DROP_IN, instance, of_sockets
from pidsup.cli.unit_files import (
    OLDEST,
    CannotInstall,
    Place,
    fitted,
    is_as_written,
    quoted,
    sealed,
)

_SOURCES = Path(__file__).parent.parent / "units"
_SERVICES = ("pidsup@.service", "pidsup.service")
_SYSTEM = "/etc/systemd/system"
_CATALOGS = "/usr/local/lib/systemd/catalog"  # where `journalctl --update-catalog` looks, too
_CATALOG = "pidsup.catalog"
_BOOTED = "/run/systemd/system"  # sd_booted(3)


class Target(NamedTuple):
    """Where the files go."""

    units: str
    configurations: str  #: where the units look for them
    is_user: bool
    is_elsewhere: bool  #: nothing that runs looks there


def main(given: argparse.Namespace) -> int:
    """Install the units."""
    try:
        files = _files(given)
        if given.dry_run:
            for path, text in files.items():
                print(f"# {path}\n{text}")
            return OK
        done = {path: _install(path, text, force=given.force) for path, text in files.items()}
        for path, what in done.items():
            print(f"{path}: {what}")
        for left in _of_its_sockets(given):
            if str(left) not in files:
                print(f"{left}: kept, but no socket of the configuration is for it: {_rid(left)}")
    except CannotInstall as error:
        print(f"pidsup: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        print(f"pidsup: cannot write {error.filename!r}: {_why(error, given)}", file=sys.stderr)
        return FAILURE
    return _finish(given, files, {path for path, what in done.items() if what != "unchanged"})


def _why(error: OSError, given: argparse.Namespace) -> str:
    may_help = isinstance(error, PermissionError) and not given.user and not given.directory
    return f"{error.strerror}" + (
        ": run it as root, or with --user for your own systemd" if may_help else ""
    )


def _target(given: argparse.Namespace) -> Target:
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    units = f"{own}/systemd/user" if given.user else _SYSTEM
    configurations = f"{own}/pidsup" if given.user else "/etc/pidsup"
    return Target(given.directory or units, configurations, given.user, bool(given.directory))


# --- what is written


def _files(given: argparse.Namespace) -> dict[str, str]:
    """Return the text of each file by its path."""
    target = _target(given)
    place = _place(given)
    sources = _SOURCES / "user" if given.user else _SOURCES
    texts = {name: fitted((sources / name).read_text(), place) for name in _SERVICES}
    if given.hardened:
        if given.user:
            raise CannotInstall(
                "cannot install hardened.conf for a user's systemd, which has not the rights: "
                "leave --hardened out"
            )
        for name in _SERVICES:
            texts[f"{name}.d/hardened.conf"] = (_SOURCES / "hardened.conf").read_text()
    for file in given.files:
        for name, text in _of_configuration(file).items():
            _refuse_anothers(name, texts.get(name) or _read(f"{target.units}/{name}") or "", text)
            texts[name] = text
    return {os.path.join(target.units, name): sealed(text) for name, text in texts.items()}


def _place(given: argparse.Namespace) -> Place:
    version = given.systemd_version or _version()
    if version < OLDEST:
        raise CannotInstall(
            f"cannot install units for systemd {version}: pidsup needs {OLDEST} or newer"
        )
    pages = (f"{share}/man/man1/pidsup.1" for share in ("/usr/share", "/usr/local/share"))
    has_pages = any(os.path.exists(page + end) for page in pages for end in ("", ".gz"))
    return Place(*_programs(), version, has_pages)


def _version() -> int:
    """Ask systemctl: "systemd 257 (257.9-1~deb13u1)"."""
    try:
        done = subprocess.run(
            ["systemctl", "--version"],  # noqa: S607  of PATH: that one will be told, too
            capture_output=True,
            text=True,
            check=True,
        )
        said = done.stdout
        return int(said.split()[1].partition("~")[0].partition(".")[0])
    except FileNotFoundError as error:
        why = "there is no systemctl, and so no systemd"
        raise CannotInstall(
            f"cannot install units: {why}; to write them for another machine: "
            "--systemd-version N --directory DIR"
        ) from error
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError) as error:
        raise CannotInstall(
            f"cannot find out the version of systemd: {error}: say it with --systemd-version"
        ) from error


def _programs() -> tuple[str, str]:
    """Return how this pidsup and its pidsupctl are called, by absolute paths.

    Symbolic links stay as they are, for they may lead to another version tomorrow.
    """
    called = os.path.abspath(sys.argv[0])
    for path in (called, os.path.realpath(called)):
        beside = os.path.join(os.path.dirname(path), "pidsupctl")
        if os.access(path, os.X_OK) and os.access(beside, os.X_OK):
            return quoted(path), quoted(beside)
    python = f"{quoted(sys.executable)} -m pidsup.cli."
    return f"{python}pidsup", f"{python}pidsupctl"


def _of_configuration(file: str) -> dict[str, str]:
    from pidsup.config.load import read

    expanded, findings = read(file)
    if expanded is None or findings.has_errors:
        problems = "\n".join(map(str, findings.in_order()))
        raise CannotInstall(f"cannot install units for {file!r}:\n{problems}")
    stem = Path(file).stem
    if expanded["name"] != stem:
        raise CannotInstall(
            f"cannot install units for {file!r}: its supervisor.name is {expanded['name']!r}, and "
            f"{instance(stem)} reloads {stem!r}: remove the name, or rename the file"
        )
    sockets = expanded["sockets"]
    assert isinstance(sockets, dict)  # noqa: S101  it is a section
    return of_sockets(stem, sockets)  # type: ignore[arg-type]  # of sections as well


def _refuse_anothers(name: str, before: str, text: str) -> None:
    """Refuse a socket unit whose name that of another configuration has: a-b's c is a's b-c."""
    for line in before.splitlines():
        if line.startswith("Service=") and line not in text.splitlines():
            raise CannotInstall(
                f"cannot install {name}: it is there already, with {line}: rename the socket"
            )


def _of_its_sockets(given: argparse.Namespace) -> Iterator[Path]:
    """Yield the files that are there for sockets of these configurations, old and new."""
    units = Path(_target(given).units)
    for file in given.files:
        stem = Path(file).stem
        service = instance(stem)
        for path in sorted(units.glob(f"pidsup-{stem}-*.socket")):
            if f"Service={service}" in (_read(str(path)) or "").splitlines():
                yield path
        drop_in = units / f"{service}.d" / DROP_IN
        if drop_in.exists():
            yield drop_in


def _rid(path: Path) -> str:
    """Say how to get rid of a file."""
    is_unit = path.suffix == ".socket"
    return f"systemctl disable --now {path.name}, and remove it" if is_unit else "remove it"


# --- writing


def _install(path: str, text: str, *, force: bool) -> str:
    """Write a file unless it is there, or was changed; say what has been done."""
    before = _read(path)
    if before == text:
        return "unchanged"
    if before is not None and not is_as_written(before) and not force:
        return "kept, for it was changed here; --force replaces it"
    _write(path, text)
    return "written" if before is None else "renewed"


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path: str, text: str) -> None:
    """Write it as a whole or not at all, for all to read."""
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    with ExitStack() as undo:
        try:
            with tempfile.NamedTemporaryFile("w", dir=directory, prefix=".", delete=False) as file:
                undo.callback(os.unlink, file.name)
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        undo.pop_all()


# --- afterwards


def _finish(given: argparse.Namespace, texts: Mapping[str, str], changed: Container[str]) -> int:
    target = _target(given)
    if not target.is_user and not target.is_elsewhere:
        _install_catalog(force=given.force)
    user = ["--user"] if target.is_user else []
    is_told = not target.is_elsewhere and os.path.isdir(_BOOTED)
    reload = ["systemctl", *user, "daemon-reload"]
    code = _run(reload) if is_told else OK
    if not is_told:
        print(f"systemd has to read them: {' '.join(reload)}")
    systemctl = " ".join(["systemctl", *user])
    for file in given.files or [f"{target.configurations}/NAME.toml"]:
        for line in _next_steps(file, target, systemctl, texts, changed):
            print(f"next: {line}")
    return code


def _next_steps(
    file: str, target: Target, systemctl: str, texts: Mapping[str, str], changed: Container[str]
) -> Iterable[str]:
    """Yield what is to be done for a configuration; what runs has no other sockets by itself."""
    stem = Path(file).stem
    wanted = f"{target.configurations}/{stem}.toml"
    if os.path.realpath(file) != os.path.realpath(wanted):
        yield f"put {file} where the service looks for it, {wanted}"
    service = instance(stem).removesuffix(".service")
    paths = [path for path, text in texts.items() if _is_socket_of(service, path, text)]
    sockets = " ".join(map(os.path.basename, paths))
    if not sockets:
        yield f"{systemctl} enable --now {service}, for {wanted}"
        return
    if any(path in changed for path in paths):
        yield f"{systemctl} stop {sockets} {service}, for what runs keeps the sockets that it has"
    yield f"{systemctl} enable --now {sockets}, for {wanted}: a connection starts {service}"


def _is_socket_of(service: str, path: str, text: str) -> bool:
    return path.endswith(".socket") and f"Service={service}.service" in text.splitlines()


def _install_catalog(*, force: bool) -> None:
    """Let `journalctl -x` explain pidsup's messages; a read-only /usr is no reason to fail."""
    source = _SOURCES / _CATALOG
    if not source.exists():
        return
    path = f"{_CATALOGS}/{_CATALOG}"
    try:
        done = _install(path, sealed(source.read_text()), force=force)
    except OSError as error:
        print(f"{path}: not written, {error.strerror}: journalctl -x explains less")
        return
    print(f"{path}: {done}")
    if done != "unchanged":
        _run(["journalctl", "--update-catalog"])


def _run(command: Sequence[str]) -> int:
    """Run a program of systemd's; say why if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  ours
    except OSError as error:
        why: object = error.strerror
    else:
        if done.returncode == 0:
            return OK
        why = done.stderr.strip() or f"it returned {done.returncode}"
    print(f"pidsup: cannot run {' '.join(command)}: {why}", file=sys.stderr)
    return FAILURE
