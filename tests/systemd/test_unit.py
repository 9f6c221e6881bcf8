"""The unit that a cgroup is of."""

from __future__ import annotations

import pytest

from pidsup.systemd.unit import Unit, of_cgroups, of_myself

USER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/pidsup@shop.service", Unit("pidsup@shop.service")),
        ("/system.slice/system-pidsup.slice/pidsup@shop.service", Unit("pidsup@shop.service")),
        ("/system.slice/pidsup.service/supervisor", Unit("pidsup.service")),
        ("/pidsup.service", Unit("pidsup.service")),
        ("/user.slice/user-1000.slice/session-3.scope", Unit("session-3.scope")),
        (f"{USER}/app.slice/pidsup.service", Unit("pidsup.service", 1000)),
        (f"{USER}/pidsup.service", Unit("pidsup.service", 1000)),
        (
            f"{USER}/app.slice/app-x.slice/pidsup@shop.service/w-1",
            Unit("pidsup@shop.service", 1000),
        ),
        (f"{USER}/init.scope", Unit("init.scope", 1000)),
        (USER, Unit("user@1000.service")),
        ("/system.slice/_cpu.service", Unit("cpu.service")),
        ("/docker/0123456789ab", Unit()),
        ("/system.slice", Unit()),
        ("/../..", Unit()),
        ("/odd\x0bname\x85/x", Unit()),
        ("/", Unit()),
        ("", Unit()),
    ],
)
def test_the_unit_is_what_comes_behind_the_slices(path: str, unit: Unit) -> None:
    """Of a user's manager the one below that."""
    assert of_cgroups(f"0::{path}\n") == unit


def test_where_there_are_old_hierarchies_too_systemd_uses_one_of_both() -> None:
    """The other one may say nothing, and controllers never do."""
    service = "/system.slice/pidsup.service"
    assert of_cgroups(f"4:cpu:/x.service\n1:name=systemd:{service}\n0::/\n") == Unit(
        "pidsup.service"
    )
    assert of_cgroups(f"1:name=systemd:/\n0::{service}\n") == Unit("pidsup.service")


def test_it_can_be_asked_anywhere() -> None:
    """In a container that has no systemd there is no unit."""
    assert isinstance(of_myself(), Unit)
