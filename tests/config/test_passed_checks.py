"""Sockets from systemd: what their section may say, and what their unit has to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pidsup.config.load import read

WATCHER = '[watchers.web]\ncommand = "web"\nsockets = ["http", "admin"]\n'
ADMIN = '[sockets.admin]\nlisten = "81"\n'


def problems(directory: Path, http: str, admin: str = ADMIN) -> list[str]:
    """Return what is wrong with a socket "http" of these lines, beside another."""
    file = directory / "shop.toml"
    file.write_text(f"{WATCHER}[sockets.http]\n{http}\n{admin}")
    found = read(file).findings.in_order()
    return [str(one).removeprefix(f"{file}:") for one in found]


@pytest.mark.parametrize(
    "http",
    [
        'systemd = "http"',
        'systemd = "http:1"',
        'systemd = "shop.socket"\ntype = "seqpacket"\nblocking = true',
        'systemd = "http"\nlisten = "80"\nbacklog = 9\nnodelay = true',
        'systemd = "http"\nlisten = "/run/s"\nmode = "0600"',
    ],
)
def test_it_is_named_as_its_unit_names_it(tmp_path: Path, http: str) -> None:
    """With `listen` beside it, options are for that."""
    assert problems(tmp_path, http) == []


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ("", "4: sockets.http: has neither listen nor systemd: say where to listen"),
        (
            'systemd = "http"\nbacklog = 9',
            (
                "6: sockets.http.backlog: is for the socket unit to say, Backlog=: "
                "remove it here, or add `listen` for where systemd passes none"
            ),
        ),
        (
            'systemd = "http"\nmode = "0600"',
            "6: sockets.http.mode: is for the socket unit to say, SocketMode=: ",
        ),
        ('systemd = ""', '5: sockets.http.systemd: must be a name such as "http", or "http:1" for'),
        ('systemd = "http:"', "5: sockets.http.systemd: must be a name such as"),
        ('systemd = "http:-1"', "5: sockets.http.systemd: must be a name such as"),
        ('systemd = "a:b"', "5: sockets.http.systemd: must be a name such as"),
        ('systemd = "é"', "5: sockets.http.systemd: must be a name such as"),
        (f'systemd = "{"x" * 256}"', "5: sockets.http.systemd: must be a name such as"),
        ("systemd = 3", "5: sockets.http.systemd: must be a name such as"),
        ('systemd = "http"\nlisten = "80"\nmode = "0600"', "7: sockets.http.mode: has no effect"),
    ],
)
def test_what_is_wrong_with_one(tmp_path: Path, http: str, said: str) -> None:
    (text,) = problems(tmp_path, http)
    assert text.startswith(said)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("web", "web", "is what socket 'http' takes already: change one"),
        ("web:1", "web:1", "is what socket 'http' takes already: change one"),
        (
            "web",
            "web:1",
            'shares its name with socket \'http\': number both, "web:0" and "web:1"',
        ),
        ("web:0", "web:1", None),
        ("web", "web2", None),
    ],
)
def test_two_take_different_ones(tmp_path: Path, one: str, other: str, said: str | None) -> None:
    """A plain name is for one that has it alone."""
    admin = f'[sockets.admin]\nsystemd = "{other}"\n'
    expected = [] if said is None else [f"7: sockets.admin.systemd: {said}"]
    assert problems(tmp_path, f'systemd = "{one}"', admin) == expected
