"""What differs, and what it takes: each option of the table, and whole sections."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from pidsup.config.diff import ADD, REMOVE, Difference, differences
from pidsup.config.load import parse
from pidsup.config.option import Option
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER

SECTIONS: dict[str, tuple[str, dict[str, Option]]] = {
    "supervisor": ("", SUPERVISOR),
    "control": ("", CONTROL),
    "sockets": ("http", SOCKET),
    "watchers": ("web", WATCHER),
}
TABLE = [(section, key) for section, (_, options) in SECTIONS.items() for key in options]

#: Another value, as a file would have it, for those of which no other is easily made up.
OTHER: dict[str, Any] = {
    "listen": "127.0.0.1:81", "type": "datagram", "command": "other", "after": "db",
    "restart": "no", "on_give_up": "stop", "stop_plan": [{"signal": "QUIT", "timeout": "5s"}],
    "forward_signals": ["HUP"], "environment": {"A": "1"}, "log_format": "json",
    "capability_bounding_set": ["chown"], "ambient_capabilities": ["chown"],
    "cpu_affinity": "0", "rlimits": {"nofile": "1:2"}, "io_scheduling_class": "idle",
    "console_format": "json", "log_level": "error", "stdout": "null", "stderr": "null",
    "log_compress": "gzip", "log_policy": "drop", "mode": "0600", "umask": "0077",
    "stop_signal": "INT", "watchdog_signal": "INT", "restart_jitter": 0.5, "nice": 7,
}  # fmt: skip


def read(document: str) -> Any:
    return parse(document, file="shop.toml", default_name="shop")


def shop() -> Any:
    return read("""
        sockets.http.listen = "127.0.0.1:80"
        [watchers.db]
        command = "db"
        [watchers.web]
        command = "web"
        sockets = "http"
        """)


def other(section: str, key: str, option: Option, before: object) -> object:
    """Return another value of an option, expanded."""
    if section == "watchers" and key == "type":
        return "notify"
    if key in OTHER:
        return option.kind.parse(OTHER[key])
    if isinstance(before, bool):
        return not before
    for candidate in (77, "77", 7, ["other"], "1K", "other"):
        try:
            return option.kind.parse(candidate)
        except ValueError:
            continue
    raise AssertionError(f"no other value for {key}")


@pytest.mark.parametrize(("section", "key"), TABLE, ids=[".".join(each) for each in TABLE])
def test_the_change_of_an_option_takes_what_the_table_says(section: str, key: str) -> None:
    """It is the one difference, has both values in words, and the table's verdict."""
    name, options = SECTIONS[section]
    old, new = shop(), shop()
    values = new[section][name] if name else new[section]
    values[key] = other(section, key, options[key], values[key])
    if (section, key) == ("supervisor", "name"):
        new["name"] = values[key]

    (found,) = differences(old, new)

    assert found.key.startswith(".".join(filter(None, (section, name, key))))
    assert found.takes == options[key].applies
    assert found.old != found.new
    assert differences(new, deepcopy(new)) == []


def test_whole_sections_are_new_or_gone() -> None:
    other = read("""
        sockets.admin.listen = "@admin"
        watchers.db.command = "db"
        watchers.cache.command = "cache -v"
        """)
    found = differences(shop(), other)
    assert found == [
        Difference("sockets", "admin", "", None, '"@admin"', ADD),
        Difference("sockets", "http", "", '"127.0.0.1:80"', None, REMOVE),
        Difference("watchers", "cache", "", None, '["cache", "-v"]', ADD),
        Difference("watchers", "web", "", '["web"]', None, REMOVE),
    ]


def test_the_order_of_sections_is_no_difference() -> None:
    turned = shop()
    turned["watchers"] = dict(reversed(turned["watchers"].items()))
    assert differences(shop(), turned) == []


def test_a_name_that_is_said_is_the_name_that_there_was() -> None:
    said = read('supervisor.name = "shop"\n[watchers.web]\ncommand = "web"')
    silent = read('[watchers.web]\ncommand = "web"')
    assert differences(silent, said) == []


def test_variables_differ_one_by_one() -> None:
    old = read('watchers.web = { command = "web", environment = { A = "1", B = "2" } }')
    new = read('watchers.web = { command = "web", environment = { B = "3", C = "4" } }')
    assert [(each.key, each.old, each.new) for each in differences(old, new)] == [
        ("watchers.web.environment.A", '"1"', None),
        ("watchers.web.environment.B", '"2"', '"3"'),
        ("watchers.web.environment.C", None, '"4"'),
    ]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("stop_timeout", "1min 30s", '"90s"'),
        ("restart_delay", "250ms", '"250ms"'),
        ("stop_signal", "SIGUSR1", '"USR1"'),
        ("stop_signal", "RTMIN+3", "37"),
        ("log_queue", "2M", '"2M"'),
        ("log_queue", 1000, "1000"),
        ("umask", "0027", '"0027"'),
        ("rlimits", {"nofile": "64:128", "core": "infinity"},
         '{ nofile = "64:128", core = "infinity" }'),
        ("capability_bounding_set", ["CAP_CHOWN", "kill"], '["chown", "kill"]'),
        ("io_scheduling_class", "idle", '"idle"'),
        ("forward_signals", ["HUP", 12], '["HUP", "USR2"]'),
        ("stop_plan", [{"signal": "INT", "timeout": 1.5}],
         '[{ signal = "INT", timeout = "1.5s", to = "main" }]'),
        ("working_directory", "/srv/größe", '"/srv/größe"'),
        ("critical", True, "true"),
        ("after", ["db"], '["db"]'),
    ],
)  # fmt: skip
def test_values_are_shown_as_a_file_would_have_them(key: str, value: object, shown: str) -> None:
    new = shop()
    new["watchers"]["web"][key] = WATCHER[key].kind.parse(value)
    (found,) = differences(shop(), new)
    assert found.new == shown
