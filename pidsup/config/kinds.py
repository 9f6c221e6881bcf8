"""The kinds of values that any section has: booleans, numbers, words, paths, accounts.

Pure.
"""

from __future__ import annotations

import re

from pidsup.config.kind import Kind, Parts, Value, Wrong, must_be

_MOST = 2**31 - 1
_NO_ID = 2**32 - 1  # to setresuid(2) it means "leave it"
NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
NAME_RULE = "1 to 63 letters, digits, '_', '-' and '.', the first a letter, digit or '_'"

STRING = {"type": "string"}
FILLED = {"type": "string", "minLength": 1}


def boolean(value: object) -> bool:
    """Take true and false."""
    if not isinstance(value, bool):
        raise must_be("true or false", value)
    return value


def text(value: object) -> str:
    """Take a string, not empty and without NUL."""
    if not isinstance(value, str) or not value:
        raise must_be("a string, and not empty", value)
    return without_nul(value)


def without_nul(value: str) -> str:
    """Take what has no NUL in it, which to the kernel is the end."""
    if "\0" in value:
        raise Wrong(((), "must not have a NUL in it"))  # not shown: it may be a secret
    return value


def is_name(value: object) -> bool:
    """Tell whether this can be the name of a supervisor, socket or watcher."""
    return isinstance(value, str) and re.fullmatch(NAME_PATTERN, value) is not None


def name(value: object) -> str:
    """Take a name that selectors, directories and LISTEN_FDNAMES can bear."""
    if not is_name(value):
        raise must_be(f"a name, {NAME_RULE}", value)
    return str(value)


def integer(least: int, most: int = _MOST) -> Kind:
    """Return the kind of whole numbers within limits."""
    limits = f"of at least {least}" if most == _MOST else f"from {least} to {most}"

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise must_be(f"a whole number {limits}", value)
        return value

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Kind(f"whole number {limits}", parse, schema)


def number(least: float, most: float) -> Kind:
    """Return the kind of numbers within limits."""

    def parse(value: object) -> float:
        # The comparison is false for nan, too.
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not least <= value <= most
        ):
            raise must_be(f"a number from {least:g} to {most:g}", value)
        return float(value)

    schema = {"type": "number", "minimum": least, "maximum": most}
    return Kind(f"number from {least:g} to {most:g}", parse, schema)


def choice(*known: str) -> Kind:
    """Return the kind of one of these strings."""
    listed = ", ".join(f'"{word}"' for word in known)
    what = f"one of {listed}" if len(known) > 1 else listed

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise must_be(what, value)
        return value

    return Kind(what, parse, {"enum": list(known)})


def array(kind: Kind, plural: str) -> Kind:
    """Return the kind of arrays of a kind; a single value stands for an array of one."""

    def parse(value: object) -> list[Value]:
        if not isinstance(value, list):
            return [kind.parse(value)]
        parts = Parts()
        found = [parts.read(i, kind.parse, item) for i, item in enumerate(value)]
        parts.done()
        return found

    schema = {"anyOf": [kind.schema, {"type": "array", "items": kind.schema}]}
    return Kind(f"array of {plural}", parse, schema)


def command(value: object) -> list[Value]:
    """Take an array of strings, or one string that is split into words as a shell does."""
    given = value
    if isinstance(value, str):
        import shlex

        try:
            value = shlex.split(value)
        except ValueError as error:
            raise Wrong(((), f"cannot be split into words: {str(error).lower()}")) from error
    if not isinstance(value, list) or not value:
        raise must_be("an array of strings, the program first", given)
    parts = Parts()
    words = [parts.read(i, _word, word) for i, word in enumerate(value)]
    parts.done()
    if not words[0]:
        raise Wrong(((), "must name a program first"))
    return words


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise must_be("a string", value)
    return without_nul(value)


def environment(value: object) -> dict[str, Value]:
    """Take a table of strings; numbers and booleans are written as TOML writes them."""
    if not isinstance(value, dict):
        raise must_be("a table of strings", value)
    parts = Parts()
    found: dict[str, Value] = {}
    for key, item in value.items():
        if not key or "=" in key or "\0" in key:
            parts.refuse(key, "is no name of a variable: it is empty, or has '=' or NUL in it")
        elif not isinstance(item, str | int | float):
            parts.refuse(key, "must be a string")  # which is not shown: it may be a secret
        else:
            found[key] = parts.read(key, _variable, item)
    parts.done()
    return found


def _variable(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else without_nul(str(value))


def account(value: object) -> str:
    """Take the name or the number of a user or group; return it as a string."""
    if isinstance(value, str) and value and "\0" not in value and not value.isdecimal():
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _NO_ID:
        raise must_be("a name or a number", value)
    return str(value)


def access(value: object) -> str:
    """Take a user, or @ and a group."""
    if isinstance(value, str) and value.startswith("@"):
        if value == "@":
            raise Wrong(((), "must name a group behind the @"))
        return "@" + account(value[1:])
    return account(value)


def mode(value: object) -> int:
    """Take permissions in octal, "0640".

    No numbers: TOML's 0o640 is 416 and cannot be told from a 640 that was meant so.
    """
    if not isinstance(value, str) or not re.fullmatch("[0-7]{1,4}", value):
        raise must_be('permissions in octal and in quotes, such as "0640"', value)
    return int(value, 8)


def output(*words: str) -> Kind:
    """Return the kind of what output goes to: one of these words, or a path."""
    listed = ", ".join(f'"{word}"' for word in words)
    what = f"{listed}, or a path with a slash"

    def parse(value: object) -> str:
        if isinstance(value, str) and (value in words or "/" in value):
            return without_nul(value)
        raise must_be(what, value)

    schema = {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": "/"}]}
    return Kind(what, parse, schema)


_ID = {"type": "integer", "minimum": 0, "exclusiveMaximum": _NO_ID}

BOOLEAN = Kind("boolean", boolean, {"type": "boolean"})
TEXT = Kind("string", text, FILLED)
NAME = Kind("name", name, {"type": "string", "pattern": f"^{NAME_PATTERN}$"})
NAMES = array(NAME, "names")
PATH = Kind("path", text, FILLED)
PATHS = array(PATH, "paths")
COMMAND = Kind(
    "array of strings",
    command,
    {
        "anyOf": [
            {"type": "string", "pattern": r"\S"},
            {"type": "array", "minItems": 1, "prefixItems": [FILLED], "items": STRING},
        ]
    },
)
ENVIRONMENT = Kind(
    "table of strings",
    environment,
    {
        "type": "object",
        "propertyNames": {"pattern": "^[^=]+$"},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
)
ACCOUNT = Kind("name or number", account, {"anyOf": [FILLED, _ID]})
ACCOUNTS = array(ACCOUNT, "names or numbers")
ACCESS = array(
    Kind("user or @group", access, {"anyOf": [{"type": "string", "pattern": "^(@.|[^@])"}, _ID]}),
    "users and @groups",
)
MODE = Kind("octal mode", mode, {"type": "string", "pattern": "^[0-7]{1,4}$"})
