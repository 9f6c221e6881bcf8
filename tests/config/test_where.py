"""Lines of keys: messages have to name the right one."""

from __future__ import annotations

from pidsup.config.where import line_of, lines_of_keys

DOCUMENT = """\
# a comment with [brackets] and a = sign
top = 1

[watchers.web]   # comment
command = [
  "a = b",  # not a key
  "c",
]
text = QQQ
key = "in a string"
[not.a.table]
QQQ
literal = \'\'\'
other = 1
\'\'\'
inline = { a = 1, "b" = 2 }
"quoted key" = 1
dotted.key = 2
steps = [  # of a plan
  { signal = "TERM" },

  { signal = "KILL", 'to' = "all" },
]
when = 1979-05-27 07:32:00

[[list]]
x = 1
[[list]]
x = 2
""".replace("QQQ", '"' * 3)


def test_each_key_and_table_is_found_on_its_line() -> None:
    lines = lines_of_keys(DOCUMENT)
    texts = DOCUMENT.splitlines()
    for path, line in lines.items():
        key = next(part for part in reversed(path) if isinstance(part, str))
        assert isinstance(path[-1], int) or key in texts[line - 1], (path, line)
    web = ("watchers", "web")
    assert set(lines) == {
        ("top",),
        web,
        *((*web, "command", *index) for index in [(), (0,), (1,)]),
        (*web, "text"),
        (*web, "literal"),
        (*web, "inline"),
        (*web, "inline", "a"),
        (*web, "inline", "b"),
        (*web, "quoted key"),
        (*web, "dotted", "key"),
        *((*web, "steps", *inner) for inner in [(), (0,), (1,)]),
        *((*web, "steps", *inner) for inner in [(0, "signal"), (1, "signal"), (1, "to")]),
        (*web, "when"),
        ("list",),
        *(("list", *inner) for inner in [(0,), (1,), (0, "x"), (1, "x")]),
    }
    assert lines["watchers", "web", "command"] == 5
    assert lines["watchers", "web", "command", 1] == 7
    assert lines["watchers", "web", "quoted key"] == 17
    assert lines["watchers", "web", "steps", 1, "to"] == 22
    assert (lines["list", 0, "x"], lines["list", 1, "x"]) == (27, 29)


def test_an_unknown_path_is_at_its_table() -> None:
    lines = lines_of_keys(DOCUMENT)
    assert line_of(lines, ("watchers", "web", "nope")) == 4
    assert line_of(lines, ("elsewhere",)) is None
