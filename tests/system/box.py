"""A real systemd: booted by systemd-nspawn in a container over an overlay of a root.

The root is this machine's, or that of a newer Debian (debian.py).  What is written inside
goes to a tmpfs.  The mounts are in a mount namespace of the container's own and its
processes in a cgroup of its own, which a process of nobody's removes when the test run
ends, however it ends.
"""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import pidsup
from tests.support import LIMIT_S, await_end, read_all, read_line, wait_until
from tests.system.debian import debian_root

_NUMBERS = itertools.count(1)
_MAKING_S = 600.0
_BOOT_S = 60.0  # a third of a second, but for a machine that does much else

# A v2 tree of its own, and where the machine has v1 trees too, systemd's: two
# containers under one cgroup kill one another's processes.
_TREES = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")

# The machine's own services are not wanted: only what comes with systemd and dbus starts.
_OF_THE_MACHINE = ("etc/systemd/system", "etc/systemd/user", "etc/rc?.d", "etc/pidsup")
_MASKED = """
    apt-daily-upgrade.timer apt-daily.timer console-getty.service dpkg-db-backup.timer
    e2scrub_all.timer fstrim.timer getty.target man-db.timer networking.service
    systemd-binfmt.service systemd-networkd.service systemd-pstore.service
    systemd-resolved.service systemd-timesyncd.service systemd-tmpfiles-clean.timer
    systemd-update-utmp.service
    """.split()

# $1 scratch directory, $2 cgroups; then the command.  It is no child of the test run, where
# some tests wait for any child there is.
_KEEP = """
scratch=$1 groups=$2
shift 2
mkdir $groups
(
    for group in $groups; do echo 0 > "$group/cgroup.procs"; done
    exec "$@"
) >&2 &
echo $!
cat  # until the other end is closed
kill -KILL $!
wait $!
for group in $groups; do
    [ ! -e "$group/cgroup.kill" ] || echo 1 > "$group/cgroup.kill"
done
for try in $(seq 1000); do
    find $groups -depth -type d -exec rmdir {} + 2>/dev/null
    [ -n "$(ls -d $groups 2>/dev/null)" ] || break
    sleep 0.01
done
rmdir "$scratch"
"""

# $1 scratch directory, $2 root, $3 trees to be seen at their own paths; then the command.
# Each tree gets an overlay: others than its owner shall pass through it.
_MAKE = f"""
set -eu
scratch=$1 root=$2 trees=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs "$scratch"
cd "$scratch"
overlay() {{
    mkdir -p "$2/upper" "$2/work" "$2/root"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
    chmod go+rx "$2/root"
}}
overlay "$root" .
rm -rf $(printf 'root/%s/* ' {" ".join(_OF_THE_MACHINE)})
for tree in $trees; do
    overlay "$tree" "trees$tree"
    set -- "$@" "--bind-ro=$scratch/trees$tree/root:$tree"
    while tree=$(dirname "$tree") && [ "$tree" != / ]; do
        mkdir -p "root$tree"
        chmod go+x "root$tree"
    done
done
exec "$@" -- {" ".join(f"systemd.mask={unit}" for unit in _MASKED)} systemd.unit=multi-user.target
"""

# What a test has made, units and their files, ends with it: stop all that booting has not
# started, and then forget all that was written.
_CLEAN = """
running() { systemctl list-units --plain --no-legend --state=active,activating,reloading,failed \
    --type=service,socket,path,timer,target | cut -d' ' -f1 | sort; }
[ -e /run/booted ] || { running > /run/booted; exit; }
new=$(running | comm -13 /run/booted -)
[ -z "$new" ] || systemctl stop $new
rm -rf /etc/systemd/system/* /run/systemd/system/* /etc/systemd/user/* /etc/pidsup /home/*/.config
systemctl daemon-reload
systemctl reset-failed
"""

# What a Debian needs to boot, and to run pidsup and workers of tests: 400 MB.
_PACKAGES = """
    curl dbus dbus-user-session gunicorn libpam-systemd nginx-light procps python3
    python3-cffi-backend python3-prctl python3-psutil python3-sdnotify systemd systemd-sysv
    """.split()

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
    "TERM": "dumb",
}


class User(NamedTuple):
    """A user whose systemd runs without him."""

    name: str
    uid: int


class Box:
    """A booted systemd.  Owns pipes to the process that keeps it, and a pidfd of nspawn's."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Boot it, and wait until all has started."""
        self.name = f"pidsup-test-{os.getpid()}-{next(_NUMBERS)}"
        self.leader = 0  #: our pid of its pid 1
        self.is_newer = root != Path("/")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  as long as the box
        self._scratch = tempfile.mkdtemp(prefix="pidsup-box-")
        self.trees = _needed_trees(with_python=not self.is_newer)  #: of ours, at their own paths
        self._groups = [f"{tree}/{self.name}" for tree in _cgroup_trees()]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
            messages.bind(f"\0{self.name}")
            self._keeper, self._nspawn = self._start(root)
            try:
                self._await_boot(messages)
                self._settle()
            except BaseException:
                self.close()
                raise

    def _start(self, root: Path) -> tuple[subprocess.Popen[bytes], int]:
        nspawn = ["systemd-nspawn", "-D", f"{self._scratch}/root", "--boot", "--quiet"]
        nspawn += ["--register=no", "--keep-unit", "--console=pipe", "--notify-ready=yes"]
        nspawn += [f"--machine={self.name}", "--private-network", "--resolv-conf=off"]
        keep = ["setsid", "--fork", "sh", "-c", _KEEP, "sh", self._scratch, " ".join(self._groups)]
        make = ["unshare", "--mount", "sh", "-c", _MAKE, "sh", self._scratch, str(root)]
        keeper = subprocess.Popen(
            [*keep, *make, " ".join(self.trees), *nspawn],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={
                **_ENVIRONMENT,
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                "NOTIFY_SOCKET": f"@{self.name}",
            },
        )
        keeper.wait(LIMIT_S)  # it has forked
        assert keeper.stdout is not None
        return keeper, os.pidfd_open(int(read_line(keeper.stdout.fileno())))

    def _await_boot(self, messages: socket.socket) -> None:
        """Read what nspawn says: the pid of the container's pid 1, and later READY=1 of that."""
        deadline = time.monotonic() + _BOOT_S
        said: list[str] = []
        while "READY=1" not in said:
            wait_s = max(0.0, deadline - time.monotonic())
            ready = select.select([messages.fileno(), self._nspawn], [], [], wait_s)[0]
            assert messages.fileno() in ready, f"no systemd booted: {self._said()}"
            said += messages.recv(8192).decode().splitlines()
        (self.leader,) = (int(s.split("=")[1]) for s in said if "LEADER_PID=" in s)

    def _settle(self) -> None:
        if self.is_newer:  # with the Python that it brings, and its packages
            self.python, self._bin = "/usr/bin/python3", "/usr/local/bin"
            source = Path(pidsup.__file__).parent.parent
            self.put("/usr/lib/python3/dist-packages/source.pth", f"{source}\n")
            for program in ("pidsup", "pidsupctl"):
                main = f"from pidsup.cli.{program} import main"
                text = f"#!/usr/bin/python3\nimport sys\n{main}\nsys.exit(main())\n"
                self.put(f"{self._bin}/{program}", text, 0o755)
        else:
            self.python, self._bin = sys.executable, str(Path(sys.executable).parent)
        self.pidsup = f"{self._bin}/pidsup"  #: paths inside
        self.pidsupctl = f"{self._bin}/pidsupctl"
        self.run("sh", "-c", _CLEAN)

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-3000:]

    # --- what tests do in it

    def command(
        self,
        *command: str,
        unit: bool = False,
        user: User | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command that runs *command* inside.

        It runs in no cgroup of the box, which logind and NotifyAccess= do not like: as a
        transient *unit* it is as any service.  As a *user* it finds his systemd.
        """
        variables = {**_ENVIRONMENT, "HOME": "/root", **(environment or {})}
        prefix: list[str] = []
        if unit:
            whose = ["--user", f"--machine={user.name}@.host"] if user else []
            prefix = ["systemd-run", *whose, "--wait", "--pipe", "--collect", "--quiet", "--"]
        elif user:
            variables["HOME"] = f"/home/{user.name}"
            variables["USER"] = user.name
            variables["XDG_RUNTIME_DIR"] = f"/run/user/{user.uid}"
            variables["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path=/run/user/{user.uid}/bus"
            prefix = ["setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups"]
        given = [f"{name}={value}" for name, value in variables.items()]
        enter = ["nsenter", f"--target={self.leader}", "--all", "--root", "--wd", "--"]
        return [*enter, "env", "-i", *given, *prefix, *command]

    def run(
        self,
        *command: str,
        unit: bool = False,
        user: User | None = None,
        environment: Mapping[str, str] | None = None,
        check: bool = True,
        input: str | None = None,  # noqa: A002  as subprocess.run has it
        limit_s: float = LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end, as `command` says; it succeeds where *check* is set."""
        done = subprocess.run(
            self.command(*command, unit=unit, user=user, environment=environment),
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            start_new_session=True,  # a kill(0, ...) inside stays inside
        )
        assert not check or done.returncode == 0, f"{command}: {done}"
        return done

    def systemctl(
        self, *arguments: str, check: bool = True, user: User | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run systemctl; of a user's systemd with *user*."""
        whose = ["--user"] if user else []
        done = self.run("systemctl", *whose, *arguments, check=False, user=user)
        if check and done.returncode:
            said = self.journal("--lines=40", "--output=short-precise")
            raise AssertionError(f"systemctl {arguments}: {done.stderr}{done.stdout}\n{said}")
        return done

    def show(self, unit: str, *properties: str, user: User | None = None) -> dict[str, str]:
        """Return properties of a unit, as text."""
        wanted = ["--property", ",".join(properties)] if properties else []
        lines = self.systemctl("show", *wanted, unit, user=user).stdout.splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def wait_for(
        self,
        unit: str,
        state: str = "active",
        *,
        user: User | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        """Wait until the ActiveState of a unit is *state*; "failed" is waited for by name only."""

        def is_it() -> bool:
            found = self.show(unit, "ActiveState", user=user)["ActiveState"]
            assert found != "failed" or state == "failed", self.status(unit, user=user)
            return found == state

        wait_until(is_it, f"{unit} {state}", limit_s, every_s=0.02)

    def status(self, unit: str, *, user: User | None = None) -> str:
        """Return what systemctl status says of a unit, with the last lines of its log."""
        self.run("journalctl", "--sync", check=False)
        done = self.systemctl("status", "--full", "--lines=30", unit, check=False, user=user)
        return done.stdout + done.stderr

    def journal(self, *arguments: str) -> str:
        """Return what journalctl says, when all that was logged before is in it."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", *arguments, check=False).stdout

    def path(self, path: str) -> Path:
        """Return where we see a path of the box; no symbolic link may be on the way."""
        return Path(f"/proc/{self.leader}/root{path}")

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, with the directories that it needs."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def user(self) -> User:
        """Return a user whose systemd runs, made at the first time."""
        name = "keeper"
        script = f"id -u {name} || {{ useradd -m -s /bin/sh {name} && id -u {name}; }}"
        uid = int(self.run("sh", "-c", script).stdout)
        self.run("loginctl", "enable-linger", name, unit=True)
        self.systemctl("start", f"user@{uid}.service")
        return User(name, uid)

    def clean(self) -> None:
        """Stop the units that were started since it booted, and remove those that were made."""
        self.run("sh", "-c", _CLEAN)

    # --- its end

    def poweroff(self) -> None:
        """Halt it as an operator would."""
        os.kill(self.leader, signal.SIGRTMIN + 4)  # poweroff.target, systemd(1)
        await_end(self._nspawn)

    def close(self) -> None:
        """Kill all that is left of it, and remove what it was in; may be called twice."""
        if self._nspawn < 0:
            return
        os.close(self._nspawn)
        self._nspawn = -1
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with self._keeper.stdout as out:
            self._keeper.stdin.close()
            read_all(out.fileno())
        said = self._said()
        self._log.close()
        left = [path for path in (*self._groups, self._scratch) if os.path.exists(path)]
        assert not left, f"{left} are left: {said}"


def _cgroup_trees() -> list[str]:
    return [tree for tree in _TREES if os.path.isdir(tree)] or ["/sys/fs/cgroup"]


def _needed_trees(*, with_python: bool) -> list[str]:
    """Return the directories that tests need inside, none within another."""
    wanted = {Path(__file__).parent.parent.parent, Path(pidsup.__file__).parent.parent}
    if with_python:
        wanted |= {Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}
    return [str(one) for one in wanted if not wanted.intersection(one.parents)]


def boot(suite: str = "") -> Box:
    """Boot this machine's systemd, or that of a Debian; skip where that is not possible."""
    why = _missing()
    if why:
        assert not os.environ.get("CI"), why
        pytest.skip(f"*** no systemd can be booted: {why} ***")
    return Box(debian_root(suite, _PACKAGES, _MAKING_S, f"{suite}-booted") if suite else Path("/"))


def _missing() -> str:
    if os.geteuid() != 0:
        return "that takes root"
    programs = ("systemd-nspawn", "dbus-daemon", "nsenter", "setpriv")
    return "".join(f"there is no {name}; " for name in programs if shutil.which(name) is None)
