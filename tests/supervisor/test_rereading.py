"""Reading in another process: what it finds, and what becomes of one that fails or hangs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pidsup import __version__
from pidsup.cli.again import PROGRAM
from pidsup.config.load import load
from pidsup.kernel import LINUX
from pidsup.loop.sources import Sources
from pidsup.process.spawner import Spawner
from pidsup.supervisor import rereading
from pidsup.supervisor.rereading import FileReader, Reading
from tests.support import EpollDriver, open_files_limited, python, run_until

Make = Callable[..., FileReader]
SHOP = '[watchers.web]\ncommand = "sleep 1"\n'


class Scene:
    """A reader on a loop, and what it has told."""

    def __init__(self, driver: EpollDriver, sources: Sources) -> None:
        self.driver = driver
        self.spawner = Spawner(driver.loop, LINUX, sources)
        self.told: list[Reading] = []
        self.null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def reader(self, command: list[str], in_force: Any = None) -> FileReader:
        return FileReader(
            command,
            json.dumps(in_force).encode(),
            environment=dict(os.environ),
            null_fd=self.null_fd,
            kernel=LINUX,
            loop=self.driver.loop,
            spawner=self.spawner,
        )

    def read(self, reader: FileReader) -> Reading:
        """Read once, to the end."""
        reader.begin(self.told.append)
        run_until(self.driver, lambda: self.told and not reader.is_busy())
        assert self.spawner.children == {}
        return self.told.pop()


@pytest.fixture
def scene(epoll_driver: EpollDriver) -> Iterator[Scene]:
    sources = Sources(epoll_driver.loop, LINUX)
    made = Scene(epoll_driver, sources)
    yield made
    os.close(made.null_fd)
    sources.close()


def program(file: Path, version: str = __version__) -> list[str]:
    """Return the program that a supervisor has."""
    return [sys.executable, "-c", PROGRAM, str(file), version, *sys.path]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(SHOP)
    return path


def test_what_differs_is_told_with_the_configuration(scene: Scene, file: Path) -> None:
    reader = scene.reader(program(file), load(file))
    assert scene.read(reader).differences == []

    file.write_text(SHOP.replace("sleep 1", "sleep 2"))
    reading = scene.read(reader)

    assert (reading.errors, [each.key for each in reading.differences]) == (
        [],
        ["watchers.web.command"],
    )
    assert reading.config is not None
    assert reading.config.watchers[0].command == ("sleep", "2")
    assert len(scene.read(reader).differences) == 1
    reader.accept(reading)
    assert scene.read(reader).differences == []


def test_what_is_wrong_is_told_all_of_it(scene: Scene, file: Path) -> None:
    file.write_text('[watchers.web]\ncommand = "/nope"\nafter = "db"\nworkers = -1\n')
    reading = scene.read(scene.reader(program(file), load_text(file)))
    assert reading.config is None
    assert [error.split(": ")[1] for error in reading.errors] == [
        "watchers.web.command",
        "watchers.web.after[0]",
        "watchers.web.workers",
    ]


def load_text(file: Path) -> Any:
    """Return what is in force: anything that is right."""
    other = file.with_name("other.toml")
    other.write_text(SHOP)
    return load(other)


def test_warnings_are_told_beside_what_is_right(scene: Scene, file: Path) -> None:
    file.write_text('[watchers.web]\ncommand = ["sleep", "{slots}"]\n')
    reading = scene.read(scene.reader(program(file), load_text(file)))
    assert reading.errors == []
    assert "{slots}" in reading.warnings[0]


def test_another_version_reads_nothing(scene: Scene, file: Path) -> None:
    """After an upgrade the file may have options that the supervisor has not heard of."""
    reading = scene.read(scene.reader(program(file, "0.0.0"), load(file)))
    (error,) = reading.errors
    assert error.endswith(
        f"pidsup {__version__} is installed, and 0.0.0 runs: restart the supervisor"
    )


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/nope"], "exec '/nope': No such file or directory"),
        (python("raise SystemExit(3)"), "the process that reads it exited with 3"),
        (python("import os; os.kill(os.getpid(), 9)"), "the process that reads it killed by KILL"),
    ],
)
def test_one_that_fails_says_so(scene: Scene, command: list[str], why: str) -> None:
    assert scene.read(scene.reader(command)).errors == [f"cannot read the configuration: {why}"]


@pytest.mark.parametrize(
    "found", ["", "no JSON", "[]", "{}", '{"errors": [], "warnings": [], "differences": [[1]]}']
)
def test_one_that_tells_nonsense_fails_and_the_next_is_heard(scene: Scene, found: str) -> None:
    """Whatever is installed there by now: nothing of it is left, so that a shutdown can end."""
    reader = scene.reader(python(f"import os; os.write(3, {found.encode()!r})"))
    for _ in range(2):
        (error,) = scene.read(reader).errors
        assert "the process that reads it told nonsense" in error


def test_what_a_site_has_python_print_is_not_what_was_read(
    scene: Scene, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert scene.read(scene.reader(program(file), load(file))).errors == []


def test_without_descriptors_nothing_is_read(scene: Scene) -> None:
    reader = scene.reader(["/nope"])
    with open_files_limited(3):
        reading = scene.read(reader)
    assert reading.errors == ["cannot read the configuration: Too many open files"]


def test_one_that_hangs_is_killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "PATIENCE_S", 0.2)
    reader = scene.reader(python("import time; time.sleep(1000)"))
    reading = scene.read(reader)
    assert reading.errors == ["cannot read the configuration: it takes more than 0.2 s"]


def test_while_one_that_was_killed_is_there_no_other_begins(scene: Scene) -> None:
    reader = scene.reader(python("import time; time.sleep(1000)"))
    reader.begin(scene.told.append)
    run_until(scene.driver, lambda: scene.spawner.children)
    gone: list[str] = []
    reader.cancel(lambda: gone.append("gone"))
    reader.begin(scene.told.append)
    assert "the process that did so last still hangs" in scene.told[0].errors[0]
    run_until(scene.driver, lambda: gone)
    assert (reader.is_busy(), len(scene.told)) == (False, 1)


def test_one_that_is_cancelled_before_it_begins_leaves_nothing(scene: Scene) -> None:
    reader = scene.reader(python("import time; time.sleep(1000)"))
    reader.begin(scene.told.append)
    gone: list[str] = []
    reader.cancel(lambda: gone.append("gone"))
    run_until(scene.driver, lambda: gone)
    assert (scene.told, scene.spawner.children) == ([], {})
