"""The units on a real systemd: installed, started, reloaded, stopped; what systemctl returns."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest

from tests.support import wait_until
from tests.system.box import Box, User

#: What `systemd-analyze security` says: 0 is best, 10 worst; docs/systemd.md has them too.
_EXPOSURE = {"pidsup.service": 8.9, "hardened": 4.2}

_DROP_INS = "/etc/systemd/system/pidsup@shop.service.d"

# It says that it is ready when it has been told to: by a file.
_SLOW = """
import os, socket, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
    to.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""

# Answers with what it is, and leaves a file.
_WEB = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
with open(f"/var/lib/web/{os.getpid()}", "w") as file:
    file.write("written")
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        text = f"{os.getuid()} {os.getpid()} {sorted(os.listdir('/proc/self/fd'))}"
        connection.sendall(f"HTTP/1.0 200 OK\\r\\n\\r\\n{text}".encode())
"""

_APP = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"from gunicorn"]
"""


@pytest.fixture
def installed(box: Box) -> Box:
    """Give a box that has the units."""
    box.run(box.pidsup, "install-units")
    return box


def show_trees(box: Box) -> None:
    """Let a service see our checkout, which may be in /tmp, in a /tmp of its own."""
    trees = " ".join(box.trees)
    box.put(f"{_DROP_INS}/trees.conf", f"[Service]\nBindReadOnlyPaths={trees}\n")


def configure(box: Box, document: str, name: str = "shop") -> None:
    """Write a configuration."""
    box.put(f"/etc/pidsup/{name}.toml", dedent(document))


def ctl(box: Box, *arguments: str, name: str = "shop", user: User | None = None) -> str:
    """Run pidsupctl, which succeeds."""
    return box.run(box.pidsupctl, "-n", name, *arguments, user=user).stdout


def pids(box: Box, name: str = "shop") -> dict[str, int]:
    """Return the pid of each slot."""
    status = json.loads(ctl(box, "-o", "json", "status", name=name))
    return {s["name"]: s["pid"] for w in status["watchers"] for s in w["slots"]}


def get(box: Box, *arguments: str) -> str:
    """Return what an HTTP server says."""
    return box.run("curl", "--silent", "--show-error", "--max-time", "20", *arguments).stdout


# --- the units


def test_what_is_installed_is_all_known_to_this_systemd(box: Box) -> None:
    configure(
        box,
        """
        [sockets.http]
        listen = "127.0.0.1:8080"
        systemd = "http"
        [watchers.web]
        command = "sleep 1000"
        sockets = ["http"]
        """,
    )
    out = box.run(box.pidsup, "install-units", "--hardened", "/etc/pidsup/shop.toml").stdout
    units = "/etc/systemd/system"
    assert f"{units}/pidsup@.service: written\n" in out
    socket = "pidsup-shop-http.socket"
    assert f"next: systemctl enable --now {socket}, for /etc/pidsup/shop.toml: a" in out
    for unit in ("pidsup.service", "pidsup@shop.service", "pidsup-shop-http.socket"):
        assert box.show(unit, "LoadState", "NeedDaemonReload") == {
            "LoadState": "loaded",
            "NeedDaemonReload": "no",
        }
        done = box.run("systemd-analyze", "verify", unit)
        assert done.stdout + done.stderr == ""
    again = box.run(box.pidsup, "install-units", "--hardened", "/etc/pidsup/shop.toml").stdout
    assert "unchanged" in again
    assert "written" not in again


@pytest.mark.parametrize("which", _EXPOSURE)
def test_the_exposure_does_not_grow(box: Box, which: str) -> None:
    box.run(box.pidsup, "install-units", *(["--hardened"] if which == "hardened" else []))
    said = box.run("systemd-analyze", "security", "--no-pager", "pidsup.service").stdout
    found = re.search(r"Overall exposure level for pidsup.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= _EXPOSURE[which]


def test_journalctl_explains(installed: Box) -> None:
    listed = installed.run("journalctl", "--list-catalog").stdout
    assert "pidsup" in listed


# --- starting and stopping


def test_start_returns_when_the_workers_are_ready(installed: Box) -> None:
    installed.put("/srv/slow.py", _SLOW)
    configure(
        installed,
        f"""
        [watchers.web]
        command = ["{installed.python}", "/srv/slow.py", "/run/go"]
        type = "notify"
        workers = 2
        """,
    )
    installed.systemctl("enable", "--now", "--no-block", "pidsup@shop")
    installed.wait_for("pidsup@shop", "activating")
    wait_until(
        lambda: installed.path("/run/pidsup/shop/control.sock").exists(), "socket", every_s=0.02
    )
    assert installed.systemctl("is-active", "pidsup@shop", check=False).stdout == "activating\n"
    installed.put("/run/go", "")
    installed.systemctl("start", "pidsup@shop")
    assert all(pids(installed).values())
    assert installed.systemctl("is-active", "pidsup@shop").stdout == "active\n"
    assert installed.systemctl("is-enabled", "pidsup@shop").stdout == "enabled\n"
    assert "2 workers ready" in installed.show("pidsup@shop", "StatusText")["StatusText"]
    assert "Status: " in installed.status("pidsup@shop")


def test_stop_ends_all_and_restart_begins_anew(installed: Box) -> None:
    """Another supervisor's runtime directory is beside, and stays."""
    for name in ("shop", "other"):
        configure(installed, "watchers.web = { command = 'sleep 1000', workers = 2 }", name)
    installed.systemctl("start", "pidsup@shop", "pidsup@other")
    before = pids(installed)
    others = pids(installed, "other")
    installed.systemctl("restart", "pidsup@shop")
    after = pids(installed)
    assert not set(before.values()) & set(after.values())
    installed.systemctl("stop", "pidsup@shop")
    assert installed.show("pidsup@shop", "ActiveState", "Result") == {
        "ActiveState": "inactive",
        "Result": "success",
    }
    assert not any(installed.path(f"/proc/{pid}").exists() for pid in after.values())
    assert not installed.path("/run/pidsup/shop").exists()
    assert pids(installed, "other") == others
    assert installed.systemctl("status", "pidsup@shop", check=False).returncode == 3


def test_an_ordered_shutdown_is_no_failure(installed: Box) -> None:
    configure(installed, "watchers.web.command = 'sleep 1000'")
    installed.systemctl("start", "pidsup@shop")
    ctl(installed, "shutdown")
    installed.wait_for("pidsup@shop", "inactive")
    assert installed.show("pidsup@shop", "Result", "NRestarts") == {
        "Result": "success",
        "NRestarts": "0",
    }


def test_a_supervisor_that_dies_is_started_again(installed: Box) -> None:
    configure(installed, "watchers.web.command = 'sleep 1000'")
    installed.systemctl("start", "pidsup@shop")
    installed.systemctl("kill", "--signal=KILL", "--kill-who=main", "pidsup@shop")
    wait_until(lambda: installed.show("pidsup@shop", "NRestarts")["NRestarts"] == "1", every_s=0.05)
    installed.systemctl("start", "pidsup@shop")
    assert len(pids(installed)) == 1


def test_the_service_without_a_name_has_the_configuration_pidsup(installed: Box) -> None:
    configure(installed, "watchers.web.command = 'sleep 1000'", "pidsup")
    installed.systemctl("start", "pidsup")
    assert list(pids(installed, "pidsup")) == ["web:0"]


def test_the_supervisor_may_have_many_files_open_and_start_many_processes(installed: Box) -> None:
    configure(installed, "watchers.web.command = 'sleep 1000'")
    installed.systemctl("start", "pidsup@shop")
    found = installed.show("pidsup@shop", "LimitNOFILE", "TasksMax", "OOMPolicy")
    assert found == {"LimitNOFILE": "65536", "TasksMax": "infinity", "OOMPolicy": "continue"}


# --- starts that fail


def test_without_its_file_a_start_fails_and_says_why(installed: Box) -> None:
    done = installed.systemctl("start", "pidsup@shop", check=False)
    assert done.returncode == 1
    said = installed.status("pidsup@shop")
    assert "/etc/pidsup/shop.toml" in said
    assert "cannot read the configuration: No such file or directory" in said


def test_a_wrong_configuration_fails_once(installed: Box) -> None:
    configure(installed, "[watchers.web]\ncommand = 'sleep 1000'\nwrokers = 2\n")
    assert installed.systemctl("start", "pidsup@shop", check=False).returncode == 1
    said = installed.status("pidsup@shop")
    assert "/etc/pidsup/shop.toml:3: watchers.web.wrokers" in said
    assert installed.show("pidsup@shop", "ActiveState", "NRestarts") == {
        "ActiveState": "failed",
        "NRestarts": "0",
    }


def test_a_worker_that_never_becomes_ready_fails_the_start(installed: Box) -> None:
    configure(
        installed,
        """
        [watchers.web]
        command = "/srv/missing"
        start_limit_burst = 1
        restart_delay = "10ms"
        """,
    )
    assert installed.systemctl("start", "pidsup@shop", check=False).returncode == 1
    said = installed.status("pidsup@shop")
    assert """Status: "cannot start: web:0: exec '/srv/missing': No such file""" in said
    installed.systemctl("stop", "pidsup@shop")


# --- reload


def test_reload_returns_when_the_configuration_is_applied(installed: Box) -> None:
    document = """
        [watchers.same]
        command = "sleep 1000"
        [watchers.web]
        command = "sleep 1000"
        """
    configure(installed, document)
    installed.systemctl("start", "pidsup@shop")
    before = pids(installed)
    configure(installed, document + "workers = 3\n")
    installed.systemctl("reload", "pidsup@shop")
    after = pids(installed)
    assert sorted(after) == ["same:0", "web:0", "web:1", "web:2"]
    assert {name: after[name] for name in before} == before
    assert installed.systemctl("is-active", "pidsup@shop").stdout == "active\n"
    installed.systemctl("reload", "pidsup@shop")  # nothing has changed: that is done, too
    assert pids(installed) == after


def test_reload_fails_with_a_wrong_configuration_and_changes_nothing(installed: Box) -> None:
    configure(installed, "watchers.web.command = 'sleep 1000'")
    installed.systemctl("start", "pidsup@shop")
    before = pids(installed)
    configure(installed, "watchers.web.command = 'sleep 1000'\nwatchers.web.wrokers = 2\n")
    assert installed.systemctl("reload", "pidsup@shop", check=False).returncode == 1
    assert "watchers.web.wrokers" in installed.status("pidsup@shop")
    assert installed.systemctl("is-active", "pidsup@shop").stdout == "active\n"
    assert pids(installed) == before
    configure(installed, "watchers.web.command = 'sleep 1000'")
    installed.systemctl("reload", "pidsup@shop")


# --- what is special


def test_systemd_holds_a_socket_and_pidsup_serves_it(box: Box) -> None:
    box.put("/srv/web.py", _WEB)
    configure(
        box,
        f"""
        [sockets.http]
        listen = "127.0.0.1:8081"
        systemd = "http"
        [watchers.web]
        command = ["{box.python}", "/srv/web.py", "{{sockets.http}}"]
        sockets = ["http"]
        """,
    )
    box.run("mkdir", "-p", "/var/lib/web")
    box.run(box.pidsup, "install-units", "/etc/pidsup/shop.toml")
    box.systemctl("enable", "--now", "pidsup-shop-http.socket")
    assert box.systemctl("is-active", "pidsup@shop", check=False).stdout == "inactive\n"
    assert get(box, "http://127.0.0.1:8081/").startswith("0 ")
    box.wait_for("pidsup@shop")  # a moment after its worker, which has served
    box.systemctl("restart", "pidsup@shop")
    assert get(box, "http://127.0.0.1:8081/").startswith("0 ")
    box.systemctl("stop", "pidsup-shop-http.socket", "pidsup@shop")
    box.systemctl("start", "pidsup@shop")  # which brings its socket
    assert get(box, "http://127.0.0.1:8081/").startswith("0 ")

    file = box.path("/etc/pidsup/shop.toml")
    file.write_text(file.read_text().replace("8081", "8082"))
    refused = box.systemctl("reload", "pidsup@shop", check=False)
    assert refused.returncode != 0
    out = box.run(box.pidsup, "install-units", "/etc/pidsup/shop.toml").stdout
    for command in re.findall("next: (systemctl .*?),", out):
        box.run(*command.split())
    assert get(box, "http://127.0.0.1:8082/").startswith("0 ")


def test_ordinary_workers_do_not_notice_the_hardened_sandbox(box: Box) -> None:
    """Another user, sockets of both kinds, files, gunicorn."""
    box.put("/srv/web.py", _WEB)
    box.put("/srv/app.py", _APP)
    uid = box.user().uid
    configure(
        box,
        f"""
        [sockets.http]
        listen = "127.0.0.1:8082"
        [sockets.path]
        listen = "/run/web.sock"
        [sockets.app]
        listen = "127.0.0.1:8083"
        [watchers.web]
        command = ["{box.python}", "/srv/web.py", "{{sockets.http}}"]
        sockets = ["http"]
        user = "keeper"
        nice = 5
        rlimits = {{ core = 0 }}
        [watchers.path]
        command = ["{box.python}", "/srv/web.py", "{{sockets.path}}"]
        sockets = ["path"]
        [watchers.app]
        command = ["{box.python}", "-m", "gunicorn", "--chdir", "/srv", "app:app"]
        sockets = ["app"]
        user = "keeper"
        working_directory = "/srv"
        [watchers.shell]
        command = ["sh", "-c", "ps aux >/dev/null && echo seen >/tmp/seen; exec sleep 1000"]
        """,
    )
    box.run("install", "-d", "-m", "0777", "/var/lib/web")
    box.run(box.pidsup, "install-units", "--hardened")
    show_trees(box)
    box.systemctl("daemon-reload")
    box.systemctl("start", "pidsup@shop")
    assert get(box, "http://127.0.0.1:8082/").startswith(f"{uid} ")
    served = get(box, "--unix-socket", "/run/web.sock", "http://localhost/")
    assert served.startswith("0 ")
    assert get(box, "http://127.0.0.1:8083/") == "from gunicorn"
    assert box.path(f"/var/lib/web/{served.split()[1]}").read_text() == "written"
    assert not box.path("/tmp/seen").exists()  # its /tmp is its own
    stats = ctl(box, "stats", "-o", "json")
    assert json.loads(stats)
    ctl(box, "restart", "web")
    box.systemctl("reload", "pidsup@shop")
    assert get(box, "http://127.0.0.1:8082/").startswith(f"{uid} ")
    ctl(box, "stop", "app")
    box.systemctl("stop", "pidsup@shop")
    assert box.show("pidsup@shop", "Result")["Result"] == "success"


def test_the_service_can_be_another_users(installed: Box) -> None:
    """It has another runtime directory than root's."""
    user = installed.user()
    configure(installed, "watchers.web.command = 'sleep 1000'")
    configure(installed, "watchers.web.command = 'sleep 1000'", "other")
    installed.put(f"{_DROP_INS}/user.conf", f"[Service]\nUser={user.name}\n")
    installed.systemctl("daemon-reload")
    installed.systemctl("start", "pidsup@shop", "pidsup@other")
    installed.systemctl("reload", "pidsup@shop")
    ctl(installed, "status")
    installed.systemctl("stop", "pidsup@shop", "pidsup@other")
    assert not installed.path(f"/tmp/pidsup-{user.uid}/shop").exists()


@pytest.mark.parametrize("who", ["User={}\nPrivateTmp=yes", "DynamicUser=yes"])
def test_the_supervisor_of_another_user_is_found_where_systemd_has_made_its_directory(
    installed: Box, who: str
) -> None:
    """Whatever /tmp it sees; its workers have no part in that directory."""
    user = installed.user()
    configure(installed, """
        [watchers.web]
        command = ["sh", "-c", "echo ${RUNTIME_DIRECTORY-none} > /tmp/seen; sleep 1000"]
        """)  # fmt: skip
    lines = f"[Service]\n{who.format(user.name)}\nRuntimeDirectory=pidsup/%i\n"
    installed.put(f"{_DROP_INS}/user.conf", lines)
    show_trees(installed)
    installed.systemctl("daemon-reload")
    installed.systemctl("start", "pidsup@shop")
    socket = installed.path("/run/pidsup/shop/control.sock")
    assert socket.stat().st_uid != 0
    configure(installed, "watchers.web.command = 'sleep 1001'")
    installed.systemctl("reload", "pidsup@shop")
    assert "ready" in ctl(installed, "status")
    assert "ready" in installed.run(installed.pidsupctl, "status").stdout
    main = installed.show("pidsup@shop", "MainPID")["MainPID"]
    seen = installed.path(f"/proc/{main}") / "root" / "tmp" / "seen"  # in its own /tmp
    assert seen.read_text() == "none\n"
    installed.systemctl("stop", "pidsup@shop")
    assert not socket.parent.exists()


def test_a_users_own_systemd_runs_it_as_well(box: Box) -> None:
    user = box.user()
    out = box.run(box.pidsup, "install-units", "--user", user=user).stdout
    units = f"/home/{user.name}/.config/systemd/user"
    assert f"{units}/pidsup@.service: written\n" in out
    assert "next: systemctl --user enable --now pidsup@NAME" in out
    box.put(f"/home/{user.name}/.config/pidsup/shop.toml", "watchers.web.command = 'sleep 1000'")
    done = box.run("systemd-analyze", "--user", "verify", "pidsup@shop.service", user=user)
    assert done.stdout + done.stderr == ""
    box.systemctl("enable", "--now", "pidsup@shop", user=user)
    assert box.systemctl("is-active", "pidsup@shop", user=user).stdout == "active\n"
    assert "web" in ctl(box, "status", user=user)
    box.systemctl("reload", "pidsup@shop", user=user)
    box.systemctl("restart", "pidsup@shop", user=user)
    box.systemctl("stop", "pidsup@shop", user=user)
    assert box.show("pidsup@shop", "Result", user=user)["Result"] == "success"


def test_who_has_no_rights_is_told_what_to_do(box: Box) -> None:
    done = box.run(box.pidsup, "install-units", user=box.user(), check=False)
    assert done.returncode == 1
    assert "Permission denied: run it as root, or with --user for your own systemd" in done.stderr
