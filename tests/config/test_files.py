"""Several files: drop-ins, environment files, and paths relative to the configuration."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pidsup.config.environment_file import Assignment, Flaw, read_assignments
from pidsup.config.load import load, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory with shop.toml and room for its drop-ins."""
    (tmp_path / "shop.d").mkdir()
    (tmp_path / "shop.toml").write_text(
        '[watchers.web]\ncommand = ["web", "-v"]\nworkers = 2\nenvironment = { A = "1", B = "2" }\n'
    )
    return tmp_path


def problems(folder: Path) -> list[str]:
    """Return what is wrong with shop.toml, the directory left out."""
    found = read(folder / "shop.toml").findings.in_order()
    return [str(one).replace(f"{folder}/", "") for one in found]


def watcher(folder: Path, name: str = "web") -> dict[str, Any]:
    loaded: Any = load(folder / "shop.toml")
    values: dict[str, Any] = loaded["watchers"][name]
    return values


# --- drop-ins


def test_drop_ins_merge_tables_and_replace_the_rest_in_lexical_order(folder: Path) -> None:
    (folder / "shop.d" / "20.toml").write_text("[watchers.web]\nworkers = 4\n")
    (folder / "shop.d" / "10.toml").write_text(
        "[watchers.web]\nworkers = 3\ncommand = ['w']\nenvironment.B = '3'\n[watchers.b]\n"
        "command = 'b'\n"
    )
    values = watcher(folder)
    assert (values["workers"], values["command"]) == (4, ["w"])
    assert values["environment"] == {"A": "1", "B": "3"}
    assert watcher(folder, "b")["command"] == ["b"]
    loaded = load(folder / "shop.toml")
    names = ["shop.toml", "shop.d/10.toml", "shop.d/20.toml"]
    assert loaded["files"] == [str(folder / name) for name in names]


def test_other_files_beside_the_drop_ins_are_left_alone(folder: Path) -> None:
    for name in ("a.toml~", ".a.toml", "README", "a.toml.dpkg-old"):
        (folder / "shop.d" / name).write_text("x = = 3")
    assert problems(folder) == []


def test_each_problem_names_the_file_and_line_that_said_it(folder: Path) -> None:
    (folder / "shop.toml").write_text(
        "[watchers.web]\nworkers = -1\nnice = 99\nenvironment = { A = [], B = 'x' }\n"
    )
    (folder / "shop.d" / "a.toml").write_text(
        "# more\n[watchers.web]\nnice = 98\n\nenvironment = { B = [] }\n[watchers.b]\n"
    )
    assert [text.partition(": must")[0] for text in problems(folder)] == [
        "shop.toml:1: watchers.web: has no command: add command = ...",
        "shop.toml:2: watchers.web.workers",
        "shop.toml:4: watchers.web.environment.A",
        "shop.d/a.toml:3: watchers.web.nice",
        "shop.d/a.toml:5: watchers.web.environment.B",
        "shop.d/a.toml:6: watchers.b: has no command: add command = ...",
    ]


def test_an_array_that_replaces_one_takes_its_lines_along(folder: Path) -> None:
    (folder / "shop.toml").write_text(
        "[watchers.web]\ncommand = 'a'\nstop_plan = [{ to = 'all' },\n{ to = 'x' }]\n"
    )
    (folder / "shop.d" / "a.toml").write_text("[watchers.web]\n\nstop_plan = [{ to = 'y' }]\n")
    (text,) = problems(folder)
    assert text.startswith("shop.d/a.toml:3: watchers.web.stop_plan[0].to: must be")


def test_what_has_no_end_is_not_read_to_it(folder: Path) -> None:
    """Not by a check, and not by a supervisor that is to apply it: it would take all memory."""
    (folder / "shop.toml").write_text('[watchers.web]\ncommand = "w"\nenvironment_file = "z"')
    (folder / "z").symlink_to("/dev/zero")
    (text,) = problems(folder)
    assert text.endswith("'z': File too large")
    (folder / "shop.toml").unlink()
    (folder / "shop.toml").symlink_to("/dev/zero")
    assert problems(folder) == ["shop.toml: cannot read the configuration: File too large"]


def test_files_that_are_not_toml_are_all_named_and_nothing_is_guessed(folder: Path) -> None:
    (folder / "shop.toml").write_text("a = = 3")
    (folder / "shop.d" / "a.toml").write_bytes(b"x = 1\ny = '\xff'")
    (folder / "shop.d" / "b.toml").mkdir()
    (folder / "shop.d" / "c.toml").write_text("[watchers.web]\nworkers = 'many'\nx = = 1")
    assert sorted(problems(folder)) == [
        "shop.d/a.toml:2: is not UTF-8",
        "shop.d/b.toml: cannot read the configuration: Is a directory",
        "shop.d/c.toml:3: not valid TOML: invalid value",
        "shop.toml:1: not valid TOML: invalid value",
    ]


# --- environment files


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b c  ", "b c"),
        ("A=", ""),
        ('A="b  c" ', "b  c"),
        ("A='b \\ \"c'", 'b \\ "c'),
        ('A="b\\"c\\\\d\\$e\\n"', 'b"c\\d$e\\n'),
        ("A=it's", "it's"),
        ("A=\"b\" 'c'", "bc"),
        ("A=b#c ;d", "b#c ;d"),
        ("A=b\\\n  c", "b  c"),
        ("A=b\\ ", "b "),
        ('A="b\nc"', "b\nc"),
        ('A="b\\\nc"', "bc"),
        ("A=b=c", "b=c"),
        ("A={slot}\r", "{slot}"),
    ],
)
def test_values_are_read_as_systemd_reads_them(line: str, value: str) -> None:
    found, flaws = read_assignments(f"# a = comment\\\n\n; another\n{line}\nZ=1\n")
    assert flaws == []
    assert found[0] == Assignment("A", value, 4)
    assert found[1].name == "Z"
    assert found[1].line == 5 + line.count("\n")


def test_all_flaws_are_named_with_their_lines() -> None:
    found, flaws = read_assignments("A\nexport B=1\n1C=2\nD=3\n\nE='x\n")
    assert found == [Assignment("D", "3", 4)]
    assert flaws == [
        Flaw(1, "has no '=': write NAME=value, or # before a comment"),
        Flaw(2, "is not read by a shell: leave out 'export'"),
        Flaw(3, "cannot use the name '1C': letters, digits and '_'"),
        Flaw(6, "the quotes in the value of 'E' have no end"),
    ]


def test_files_count_in_their_order_and_environment_for_more(folder: Path) -> None:
    (folder / "one.env").write_text("A=one\nB=one\nC=one\nD=one\n")
    (folder / "two.env").write_text("C=two\n")
    (folder / "shop.d" / "a.toml").write_text(
        '[watchers.web]\nenvironment_file = ["one.env", "-none.env", "two.env"]\n'
    )
    values = watcher(folder)
    assert values["environment"] == {"A": "1", "B": "2", "C": "two", "D": "one"}
    assert values["environment_file"] == [
        f"{folder}/one.env", f"-{folder}/none.env", f"{folder}/two.env",
    ]  # fmt: skip


def test_what_is_wrong_in_an_environment_file_is_said_with_its_line(folder: Path) -> None:
    (folder / "one.env").write_text("\nA 1\nB={env.NOPE_NOPE}\n")
    (folder / "two.env").write_bytes(b"\xff")
    (folder / "shop.toml").write_text(
        '[watchers.web]\ncommand = "w"\nenvironment_file = [\n  "one.env",\n  "two.env",\n'
        '  "none.env",\n  "shop.d",\n]\n'
    )
    said = sorted(problems(folder))
    assert said[:1] == ["one.env:2: has no '=': write NAME=value, or # before a comment"]
    assert said[1].startswith("one.env:3: watchers.web.environment.B: {env.NOPE_NOPE} names a var")
    key = "watchers.web.environment_file"
    assert said[2:] == [
        f"shop.toml:5: {key}[1]: 'two.env' is not UTF-8",
        (
            f"shop.toml:6: {key}[2]: cannot read 'none.env': No such file or directory: create it, "
            "or put a - before it if it may be missing"
        ),
        f"shop.toml:7: {key}[3]: cannot read 'shop.d': Is a directory",
    ]


# --- relative paths


def test_relative_paths_begin_at_the_directory_of_the_configuration(folder: Path) -> None:
    (folder / "shop.d" / "a.toml").write_text(
        "[watchers.web]\nworking_directory = 'srv'\nstdout = './log/{slot}'\nstderr = '/log'\n"
    )
    values = watcher(folder)
    assert values["working_directory"] == f"{folder}/srv"
    assert (values["stdout"], values["stderr"]) == (f"{folder}/log/{{slot}}", "/log")


def test_a_path_that_a_variable_makes_absolute_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGS", "/var/log")
    (folder / "shop.d" / "a.toml").write_text(
        "[watchers.web]\nstdout = '{env.LOGS}/a'\nworking_directory = '{watcher}'\n"
    )
    values = watcher(folder)
    assert values["stdout"] == "{env.LOGS}/a"
    assert values["working_directory"] == f"{folder}/{{watcher}}"


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path: Path) -> None:
    """Editors on Windows begin with one."""
    file = tmp_path / "shop.toml"
    file.write_bytes(b"\xef\xbb\xbfwatchers.a.command = 'a'\n")
    assert load(file)["name"] == "shop"


def test_the_supervisor_of_standard_input_is_called_pidsup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("watchers.a.command = 'a'"))
    assert load(Path("-"))["name"] == "pidsup"
