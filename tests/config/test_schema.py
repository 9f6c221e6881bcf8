"""Schema, loader, documentation and examples agree with one another."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pidsup.config.address import ADDRESS
from pidsup.config.kind import Kind, Wrong
from pidsup.config.kinds import ACCOUNT, MODE
from pidsup.config.load import parse, read
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER
from pidsup.config.problem import ConfigError
from pidsup.config.process_kinds import PROCESSORS, RLIMITS_TABLE
from pidsup.config.quantities import DURATION, SIZE
from pidsup.config.schema import as_schema
from pidsup.config.signals import SIGNAL

ROOT = Path(__file__).parents[2]
SCHEMA = Draft202012Validator(as_schema())
_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> Iterator[Any]:
    """Yield every example, and every block of TOML in the documentation."""
    for file in sorted((ROOT / "examples").rglob("*.toml")):
        yield pytest.param(file.read_text(), id=str(file.relative_to(ROOT)))
    for name in ("README.md", "docs/configuration.md", "docs/recipes.md"):
        text = (ROOT / name).read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match[1], id=f"{name}:{line}")


@pytest.mark.parametrize("document", list(documents()))
def test_what_is_shown_loads_without_a_word_and_obeys_the_schema(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_DIR", "/app")  # as the container of examples/container has it
    file = tmp_path / "shop.toml"
    file.write_text(document)
    assert list(map(str, read(file).findings.in_order())) == []
    assert [error.message for error in SCHEMA.iter_errors(tomllib.loads(document))] == []


def test_the_documentation_shows_much() -> None:
    assert len(list(documents())) > 10


def test_the_schema_is_valid_and_the_one_in_the_docs() -> None:
    """`pidsup schema` prints what docs/pidsup.schema.json holds."""
    Draft202012Validator.check_schema(as_schema())
    assert json.loads((ROOT / "docs" / "pidsup.schema.json").read_text()) == as_schema()


#: Values of all types and forms, good for some kinds and bad for others.  Numbers are
#: never 1.0, which JSON cannot tell from 1.
VALUES: list[Any] = [
    True, False, 0, 1, -1, 7, 8080, 65536, 2**31, 2**40, 2**62, 1.5, -0.5, 1e9 + 0.5, "", " ", "a",
    "a b", "a:b", "no", "always", "exec", "TERM", "sigterm", "SIGRTMIN+3", "RTMIN+31", "RTMAX-1",
    "TREM", "9", "65", "5s", "1min 30s", "5 parsecs", "1h30", "-5s", "64K", "1.5G", "64Q", "640",
    "0640", "0800", "07777", "77777", "raw", "gzip", "info", "stream", "stay", "drop",
    "json", "/path", "/path/", "./path",
    "console", "stdout", "null", "inherit", "idle", "best-effort", "net_bind_service",
    "CAP_CHOWN", "cap_Chown", "net_bind", "0-3,8", "3", "0-", "localhost:80", "localhost",
    "[::1]:80", "@a", "@", "@@a", "x" * 64, [], [1], ["a"], ["a", "b"], ["a", 1], [""], ["TERM"],
    ["TERM", "x"], ["chown", "kill"], ["chown", 3], [0, 1], [0, "2-3"], [0, True], {}, {"A": "1"},
    {"A": 1.5, "B": True}, {"A": []}, {"A=B": "1"}, {"nofile": 5}, {"nofile": "1K:2K"},
    {"nofile": "x"}, {"nofil": 5}, {"core": "infinity"}, {"cpu": "5min"}, {"cpu": "5K"},
    {"nofile": True}, {"nofile": []}, [{}], [{"signal": "TERM"}], [{"signal": "TREM"}],
    [{"timeout": -1}], [{"to": "all", "timeout": "5s"}], [{"sgnal": "TERM"}], [{}, 3],
]  # fmt: skip

SECTIONS = {"supervisor": SUPERVISOR, "control": CONTROL, "sockets": SOCKET, "watchers": WATCHER}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        pytest.param(name, key, id=f"{name}.{key}")
        for name, options in SECTIONS.items()
        for key in options
    ],
)
def test_schema_and_loader_take_and_refuse_the_same(section: str, key: str) -> None:
    kind = SECTIONS[section][key].kind
    schema = Draft202012Validator(dict(kind.schema))
    taken = 0
    for value in VALUES:
        try:
            kind.parse(value)
            loads = True
        except Wrong:
            loads = False
        taken += loads
        assert schema.is_valid(value) is loads, value
    assert 0 < taken < len(VALUES)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (DURATION, ["1", "30", ".", "5", " ", "ms", "s", "min", "h", "x", "-"]),
        (SIZE, ["1", "30", ".", "5", " ", "K", "M", "iB", "B", "x", "-"]),
        (SIGNAL, ["SIG", "sig", "TERM", "RTMIN", "RTMAX", "+", "-", "1", "30", "0", "x"]),
        (MODE, ["0", "6", "7", "8", "64"]),
        (PROCESSORS, ["0", "1", "3", "-", ",", " ", "x"]),
    ],
    ids=["duration", "size", "signal", "mode", "processors"],
)
@given(data=st.data())
def test_schema_and_loader_read_the_same_grammar(kind: Kind, words: list[str], data: Any) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(words), max_size=7)))
    try:
        kind.parse(text)
        loads = True
    except Wrong as error:
        loads = "shorter than 30 years" in str(error)  # which is no matter of form
    valid = Draft202012Validator(dict(kind.schema)).is_valid(text)
    assert valid or not loads, text
    if kind is not PROCESSORS:  # 3-1 has the form, but is none
        assert loads is valid, text


@pytest.mark.parametrize("text", ["1" * 5000, "1" * 400 + ".5K", "1 " * 5000 + "!", "(" * 5000])
def test_texts_without_end_are_refused_and_not_pondered(text: str) -> None:
    for kind in (DURATION, SIZE, SIGNAL, MODE, PROCESSORS, ACCOUNT, ADDRESS, RLIMITS_TABLE):
        value = {"rttime": text} if kind is RLIMITS_TABLE else text
        if kind is not ACCOUNT or text.isdecimal():
            with pytest.raises(Wrong):
                kind.parse(value)
            assert kind is ACCOUNT or not Draft202012Validator(dict(kind.schema)).is_valid(value)


@settings(max_examples=300)
@given(data=st.data())
def test_a_spoilt_document_is_refused_with_reasons_or_loads(data: Any) -> None:
    """Cut, doubled and exchanged lines and characters: never anything but ConfigError."""
    text = (ROOT / "examples" / "shop.toml").read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        other = data.draw(st.sampled_from(["", '"', "[", "]", "{", "=", "\n", "1", "a.b", "'''"]))
        text = text[:at] + other + text[min(end, at + 9) :]
    try:
        parse(text, file="shop.toml", default_name="shop")
        reasons = ["none is needed"]
    except ConfigError as error:
        reasons = [problem.text for problem in error.problems]
    assert reasons
    assert all(reasons)


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse("a = " + "[" * 5000, file="shop.toml", default_name="shop")
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse("a = " + "1" * 5000, file="shop.toml", default_name="shop")
