"""`pidsup install-units`: what it writes, keeps and refuses; what the units say."""

from __future__ import annotations

import os
import subprocess
import sys
from errno import ENOSPC
from pathlib import Path

import pytest

import pidsup
from pidsup.cli.check import main
from pidsup.cli.socket_units import of_sockets
from pidsup.cli.unit_files import Place, fitted, is_as_written, quoted, sealed

_UNITS = Path(pidsup.__file__).parent / "units"
_PIDSUP = str(Path(sys.executable).parent / "pidsup")
_SERVICES = ["pidsup.service", "pidsup@.service"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory for units that is not there yet."""
    return tmp_path / "system"


def install(directory: Path, *arguments: str, version: int = 252) -> int:
    """Run `pidsup install-units`."""
    where = ["--directory", str(directory), "--systemd-version", str(version)]
    return main(["install-units", *where, *arguments])


def written(directory: Path) -> list[str]:
    """Return the files below a directory."""
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def configuration(directory: Path, sockets: str, name: str = "shop") -> str:
    """Write a configuration with these sockets, as rows of an inline table each."""
    file = directory / f"{name}.toml"
    lines = [line.strip() for line in sockets.splitlines() if line.strip()]
    names = [line.partition(" ")[0] for line in lines]
    watcher = f"watchers.a = {{ command = 'true', sockets = {names} }}"
    file.write_text("\n".join([*(f"sockets.{line}" for line in lines), watcher]))
    return str(file)


# --- the units themselves


@pytest.mark.parametrize("where", [".", "user"])
def test_the_service_without_an_instance_is_that_of_the_instance_pidsup(where: str) -> None:
    template = (_UNITS / where / "pidsup@.service").read_text()
    assert (_UNITS / where / "pidsup.service").read_text() == template.replace("%i", "pidsup")


@pytest.mark.parametrize("file", sorted(_UNITS.rglob("pidsup*.service")), ids=os.path.basename)
def test_no_unit_breaks_pidsup(file: Path) -> None:
    """clone3(2) fails, control groups are read-only, there are no other users."""
    hardened = (_UNITS / "hardened.conf").read_text()
    keys = [line.partition("=")[0] for line in f"{file.read_text()}\n{hardened}".splitlines()]
    assert not {"RestrictNamespaces", "ProtectControlGroups", "PrivateUsers"}.intersection(keys)


def test_only_what_a_systemd_knows_is_written() -> None:
    text = (_UNITS / "pidsup@.service").read_text()
    place = Place("/usr/bin/pidsup", "/usr/bin/pidsupctl", 257, has_pages=True)
    assert fitted(text, place) == text

    def missing(version: int) -> list[str]:
        old = fitted(text, place._replace(version=version)).splitlines()
        return [line for line in text.splitlines() if line not in old]

    assert missing(253) == ["RestartSteps=5", "RestartMaxDelaySec=30"]
    assert missing(252) == ["Type=notify-reload", "RestartSteps=5", "RestartMaxDelaySec=30"]
    assert "\nType=notify\n" in fitted(text, place._replace(version=252))


def test_pages_that_man_does_not_find_are_not_named() -> None:
    place = Place("/opt/x/pidsup", "/opt/x/pidsupctl", 257, has_pages=False)
    text = fitted((_UNITS / "pidsup.service").read_text(), place)
    assert "man:" not in text
    assert "\nExecStart=/opt/x/pidsup run -c /etc/pidsup/pidsup.toml\n" in text
    assert "\nExecReload=/opt/x/pidsupctl -n pidsup apply\n" in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/pidsup", "/usr/bin/pidsup"),
        ("/opt/a b/pidsup", '"/opt/a b/pidsup"'),
        ("/opt/100%/pidsup", "/opt/100%%/pidsup"),
        ('/opt/"$x\\/pidsup', '"/opt/\\"$x\\\\/pidsup"'),
    ],
)
def test_programs_are_quoted_for_systemd(path: str, expected: str) -> None:
    assert quoted(path) == expected


# --- writing them


def test_units_have_the_path_of_this_pidsup(directory: Path) -> None:
    called = [_PIDSUP, "install-units", "--directory", str(directory), "--systemd-version", "257"]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert written(directory) == _SERVICES
    text = (directory / "pidsup@.service").read_text()
    assert f"\nExecStart={_PIDSUP} run -c /etc/pidsup/%i.toml\n" in text
    assert f"\nExecReload={_PIDSUP}ctl -n %i apply\n" in text
    assert "Type=notify-reload" in text
    assert (directory / "pidsup@.service").stat().st_mode & 0o777 == 0o644


def test_without_programs_of_its_own_it_is_called_by_its_python(directory: Path) -> None:
    called = [sys.executable, "-m", "pidsup.cli.pidsup", "install-units", "--systemd-version=257"]
    subprocess.run([*called, f"--directory={directory}"], capture_output=True, check=True)
    text = (directory / "pidsup.service").read_text()
    assert f"\nExecStart={sys.executable} -m pidsup.cli.pidsup run -c " in text
    assert f"\nExecReload={sys.executable} -m pidsup.cli.pidsupctl -n " in text


def test_it_can_be_run_again(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("written", "unchanged"):
        assert install(directory) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[:2] == [f"{directory}/{name}: {said}" for name in reversed(_SERVICES)]


def test_files_that_were_written_for_another_systemd_are_renewed(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(directory, version=252)
    capsys.readouterr()
    assert install(directory, version=257) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{directory}/pidsup@.service: renewed"
    assert "notify-reload" in (directory / "pidsup@.service").read_text()


def test_files_that_were_changed_are_kept_unless_forced(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(directory)
    file = directory / "pidsup.service"
    ours = file.read_text()
    file.write_text(ours.replace("WatchdogSec=30", "WatchdogSec=60"))
    capsys.readouterr()
    assert install(directory) == 0
    assert (
        f"{file}: kept, for it was changed here; --force replaces it\n" in capsys.readouterr().out
    )
    assert "WatchdogSec=60" in file.read_text()
    assert install(directory, "--force") == 0
    assert file.read_text() == ours
    assert f"{file}: renewed\n" in capsys.readouterr().out


def test_a_masked_unit_stays_masked(directory: Path) -> None:
    directory.mkdir()
    (directory / "pidsup.service").symlink_to("/dev/null")
    assert install(directory) == 0
    assert (directory / "pidsup.service").readlink() == Path("/dev/null")


def test_a_seal_tells_a_change_of_either_part() -> None:
    text = sealed("[Service]\n")
    assert is_as_written(text)
    assert not is_as_written(text + "Nice=5\n")
    assert not is_as_written(text.replace("sha256 ", "sha256 0")[:-1])
    assert not is_as_written("[Service]\n")
    assert not is_as_written("")


def test_a_dry_run_prints_and_writes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(directory, "--dry-run", "--hardened") == 0
    out = capsys.readouterr().out
    for name in (*_SERVICES, "pidsup@.service.d/hardened.conf"):
        assert f"# {directory}/{name}\n" in out
    assert not directory.exists()


def test_the_hardened_drop_in_is_for_both_services(directory: Path) -> None:
    assert install(directory, "--hardened") == 0
    drop_ins = [f"{name}.d/hardened.conf" for name in _SERVICES]
    assert written(directory) == sorted([*_SERVICES, *drop_ins])


def test_a_users_units_have_no_sandbox(directory: Path) -> None:
    assert install(directory, "--user") == 0
    assert written(directory) == _SERVICES
    text = (directory / "pidsup@.service").read_text()
    assert "-c %E/pidsup/%i.toml" in text
    assert "WantedBy=default.target" in text
    assert "CapabilityBoundingSet" not in text


# --- sockets


def test_sockets_that_systemd_holds_get_units(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configuration(
        tmp_path,
        """
        http = { listen = "127.0.0.1:8080", systemd = "web", backlog = 100, nodelay = true }
        admin = { listen = "/run/shop 50%/admin", systemd = "admin", mode = "0600", user = "root" }
        only = { systemd = "of-another-unit" }
        own = { listen = "8081" }
        """,
    )
    assert install(directory, file) == 0
    units = ["pidsup-shop-admin.socket", "pidsup-shop-http.socket"]
    assert written(directory) == sorted([*_SERVICES, *units, "pidsup@shop.service.d/sockets.conf"])
    lines = (directory / "pidsup-shop-http.socket").read_text().splitlines()
    assert lines[lines.index("[Socket]") + 1 :] == [
        "ListenStream=127.0.0.1:8080",
        "FileDescriptorName=web",
        "Service=pidsup@shop.service",
        "Backlog=100",
        "NoDelay=yes",
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]
    lines = (directory / "pidsup-shop-admin.socket").read_text().splitlines()
    assert lines[lines.index("[Socket]") + 1 : lines.index("[Install]") - 1] == [
        "ListenStream=/run/shop 50%%/admin",
        "FileDescriptorName=admin",
        "Service=pidsup@shop.service",
        "SocketMode=0600",
        "SocketUser=root",
        "RemoveOnStop=yes",
    ]
    drop_in = (directory / "pidsup@shop.service.d/sockets.conf").read_text()
    assert drop_in.endswith("[Service]\nSockets=pidsup-shop-http.socket pidsup-shop-admin.socket\n")
    out = capsys.readouterr().out
    assert f"next: put {file} where the service looks for it, /etc/pidsup/shop.toml\n" in out
    sockets = "pidsup-shop-http.socket pidsup-shop-admin.socket"
    stop = f"next: systemctl stop {sockets} pidsup@shop, for what runs keeps the sockets"
    enable = f"next: systemctl enable --now {sockets}, for /etc/pidsup/shop.toml: a connection"
    assert stop in out
    assert enable in out
    assert install(directory, file) == 0
    again = capsys.readouterr().out
    assert (stop in again, enable in again) == (False, True)


def test_every_kind_of_socket_has_its_word(tmp_path: Path, directory: Path) -> None:
    file = configuration(
        tmp_path,
        """
        six = { listen = "[::1]:53", systemd = "dns:1", type = "datagram", ipv6_only = true }
        any = { listen = "054", systemd = "dns:0", type = "datagram", ipv6_only = true }
        pack = { listen = "@pack", systemd = "pack", type = "seqpacket" }
        rest = { listen = 80, systemd = "50%" }
        """,
        name="pidsup",
    )
    assert install(directory, file) == 0
    lines = (directory / "pidsup-pidsup-any.socket").read_text().splitlines()
    assert lines[lines.index("[Socket]") + 1 : lines.index("[Install]") - 1] == [
        "ListenDatagram=54",
        "ListenDatagram=[::1]:53",
        "FileDescriptorName=dns",
        "Service=pidsup.service",
        "BindIPv6Only=ipv6-only",
    ]
    pack = (directory / "pidsup-pidsup-pack.socket").read_text()
    assert "\nListenSequentialPacket=@pack\n" in pack
    rest = (directory / "pidsup-pidsup-rest.socket").read_text()
    assert "\nFileDescriptorName=50%%\n" in rest
    assert (directory / "pidsup.service.d/sockets.conf").exists()


@pytest.mark.parametrize("together", [False, True])
def test_a_unit_of_another_configurations_socket_is_not_replaced(
    tmp_path: Path, directory: Path, together: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    one = configuration(tmp_path, 'b-c = { listen = 80, systemd = "x" }', name="a")
    other = configuration(tmp_path, 'c = { listen = 81, systemd = "x" }', name="a-b")
    if not together:
        assert install(directory, one) == 0
    assert install(directory, *[one] * together, other) == 2
    said = "cannot install pidsup-a-b-c.socket: it is there already, with Service=pidsup@a.service:"
    assert said in capsys.readouterr().err


def test_what_is_left_of_sockets_that_are_systemds_no_more_is_named(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be passed all the same, and the start fail for it."""
    http, admin = 'http = { listen = 80, systemd = "http" }', 'a = { listen = 81, systemd = "a" }'
    install(directory, configuration(tmp_path, f"{http}\n{admin}"))
    (directory / "pidsup-shop-b-c.socket").write_text("[Socket]\nService=pidsup@shop-b.service\n")
    assert "no socket" not in capsys.readouterr().out
    left = "kept, but no socket of the configuration is for it:"
    old = f"pidsup-shop-a.socket: {left} systemctl disable --now pidsup-shop-a.socket, and remove"
    for sockets, expected in ((http, [old]), ("", [old, f"sockets.conf: {left} remove it"])):
        install(directory, configuration(tmp_path, sockets))
        out = capsys.readouterr().out
        assert all(line in out for line in expected)
        assert "shop-b" not in out


def test_the_example_is_what_is_written(tmp_path: Path, directory: Path) -> None:
    install(directory, configuration(tmp_path, 'http = { listen = 8080, systemd = "http" }'))
    example = (_UNITS / "pidsup-shop-http.socket").read_text().partition("[Unit]")[2]
    assert (directory / "pidsup-shop-http.socket").read_text().endswith(f"[Unit]{example}")


def test_a_configuration_without_such_sockets_needs_no_more_units() -> None:
    assert of_sockets("shop", {}) == {}


@pytest.mark.parametrize(
    ("sockets", "said"),
    [
        ('a = { listen = "localhost:80", systemd = "a" }', "takes no names of hosts"),
        (
            'a = { listen = 1, systemd = "x:0" }\nb = { listen = 2, systemd = "x:1", backlog = 5 }',
            "let them have the same, or different names",
        ),
        ("a = { listen = 99999 }", "must have a port"),
        ('a = { listen = "127.0.0.1:0", systemd = "a" }', "systemd chooses no port"),
        (r'a = { listen = "/run/a\nService=b", systemd = "a" }', "no value has control characters"),
        (r'a = { listen = "/run/a\\", systemd = "a" }', "or a backslash at its end"),
        ('a = { listen = 80, systemd = "a " }', "spaces around it"),
    ],
)
def test_what_has_no_unit_is_refused_before_anything_is_written(
    tmp_path: Path,
    directory: Path,
    sockets: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert install(directory, configuration(tmp_path, sockets)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("pidsup: cannot install ")
    assert not directory.exists()


def test_a_supervisor_of_another_name_could_not_be_reloaded(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("supervisor.name = 'store'\nwatchers.a.command = 'true'\n")
    assert install(directory, str(file)) == 2
    assert "supervisor.name is 'store', and pidsup@shop.service" in capsys.readouterr().err


# --- what is refused


def test_an_old_systemd_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(directory, version=251) == 2
    assert "systemd 251: pidsup needs 252 or newer" in capsys.readouterr().err


def test_a_machine_without_systemd_has_to_say_the_version(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["install-units", "--directory", str(directory)]) == 2
    assert "there is no systemctl" in capsys.readouterr().err


def test_hardened_is_for_the_system(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(directory, "--user", "--hardened") == 2
    assert "leave --hardened out" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.write_text("a file")
    assert install(directory) == 1
    assert capsys.readouterr().err == (
        f"pidsup: cannot write '{directory}/pidsup@.service': Not a directory\n"
    )


def test_what_cannot_be_written_leaves_nothing_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert install(directory) == 1
    assert written(directory) == []
