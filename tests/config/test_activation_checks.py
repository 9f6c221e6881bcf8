"""What is wrong with watchers on demand, and which defaults they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pidsup.config.load import read

_SOCKETS = """
[sockets.http]
listen = 80
[sockets.log]
listen = "/run/log.sock"
type = "datagram"
"""


Reader = Callable[[str], tuple[Any, list[str]]]


@pytest.fixture
def web(tmp_path: Path) -> Reader:
    """Give a function that returns the expanded watcher `web`, and what is wrong."""

    def look(watcher: str) -> tuple[Any, list[str]]:
        file = tmp_path / "shop.toml"
        file.write_text(f'{_SOCKETS}[watchers.web]\ncommand = "web"\n{watcher}')
        expanded, findings = read(file)
        assert expanded is not None
        said = [problem.text for problem in findings.in_order() if not problem.is_warning]
        watchers: Any = expanded["watchers"]
        return watchers["web"], said

    return look


def test_on_demand_only_failures_are_restarted(web: Reader) -> None:
    values, said = web('sockets = ["http"]\non_demand = true')
    assert (said, values["restart"], values["workers"]) == ([], "on-failure", 1)


def test_with_accept_nothing_is_and_there_may_be_many(web: Reader) -> None:
    values, said = web('sockets = ["http"]\naccept = true')
    assert (said, values["restart"], values["workers"]) == ([], "no", 64)
    assert values["on_demand"] is True


def test_what_the_file_says_counts_for_more(web: Reader) -> None:
    values, said = web('sockets = ["http"]\non_demand = true\nrestart = "always"\nworkers = 3')
    assert (said, values["restart"], values["workers"]) == ([], "always", 3)
    assert web('stdin_socket = "http"\naccept = true\nworkers = 3')[0]["workers"] == 3


def test_without_it_all_is_as_ever(web: Reader) -> None:
    assert web('sockets = ["http"]')[0]["restart"] == "always"


@pytest.mark.parametrize(
    ("watcher", "said"),
    [
        ("on_demand = true", "has nothing to listen on"),
        ('sockets = ["http"]\nidle_timeout = 5', "no effect without on_demand"),
        ('sockets = ["http"]\naccept = true\nidle_timeout = 5', "no effect beside accept"),
        ('sockets = ["http", "log"]\naccept = true', "needs one socket"),
        ("accept = true", "needs one socket"),
        ('sockets = ["log"]\naccept = true', "'log' is for datagrams"),
        ('sockets = ["http"]\naccept = true\nrestart = "always"', 'must be "no" beside accept'),
        ('sockets = ["http"]\naccept = true\non_demand = false', "cannot be false beside accept"),
        ('sockets = ["http"]\naccept = true\ncritical = true', "has no effect beside accept"),
        ('sockets = ["http"]\naccept = true\nfile_descriptor_store_max = 1', "no next worker"),
        ('stdin_socket = "http"\naccept = true\nstdout = "null"', "connection is standard output"),
        ('sockets = ["http"]\non_demand = true\nforeground = true', "cannot be beside foreground"),
        ('sockets = ["http"]\naccept = true\nforeground = true', "cannot be beside foreground"),
        (
            (
                'sockets = ["http"]\non_demand = true\n[watchers.b]\ncommand = "b"\n'
                'stdin_socket = "http"'
            ),
            "has 'http', which 'b' uses too",
        ),
        (
            (
                'stdin_socket = "http"\non_demand = true\n[watchers.b]\ncommand = "b"\n'
                'sockets = ["http"]\non_demand = true'
            ),
            "has 'http', which 'b' uses too",
        ),
    ],
)
def test_what_does_not_go_together_is_said(web: Reader, watcher: str, said: str) -> None:
    found = web(watcher)[1]
    assert [text for text in found if said in text], found


def test_two_on_demand_with_sockets_of_their_own_are_fine(web: Reader) -> None:
    _, said = web(
        'sockets = ["http"]\non_demand = true\nidle_timeout = "5min"\n[watchers.b]\n'
        'command = "b"\nsockets = ["log"]\non_demand = true'
    )
    assert said == []
