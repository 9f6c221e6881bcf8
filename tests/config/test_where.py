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

[[list]]
x = 1
[[list]]
x = 2
""".replace("QQQ", '"' * 3)


def test_each_key_and_table_is_found_on_its_line() -> None:
    lines = lines_of_keys(DOCUMENT)
    texts = DOCUMENT.splitlines()
    for path, line in lines.items():
        assert path[-1] in texts[line - 1], (path, line)
    assert set(lines) == {
        ("top",),
        ("watchers", "web"),
        ("watchers", "web", "command"),
        ("watchers", "web", "text"),
        ("watchers", "web", "literal"),
        ("watchers", "web", "inline"),
        ("watchers", "web", "quoted key"),
        ("watchers", "web", "dotted", "key"),
        ("list",),
        ("list", "x"),
    }
    assert lines["watchers", "web", "command"] == 5
    assert lines["watchers", "web", "quoted key"] == 17


def test_an_unknown_path_is_at_its_table() -> None:
    lines = lines_of_keys(DOCUMENT)
    assert line_of(lines, ("watchers", "web", "nope")) == 4
    assert line_of(lines, ("elsewhere",)) is None
