"""The JSON Schema of a configuration, made from the table of options.

Editors complete and check TOML by it; `pidsup schema` prints it, docs/pidsup.schema.json
holds it.  It knows each option for itself; what goes together, `pidsup check` knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from pidsup.config.kinds import NAME_PATTERN
from pidsup.config.option import REQUIRED, Option
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER

Schema = dict[str, object]


def as_schema() -> Schema:
    """Return the schema, JSON Schema draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pidsup configuration",
        "type": "object",
        "properties": {
            "supervisor": _section(SUPERVISOR),
            "control": _section(CONTROL),
            "sockets": _named(SOCKET),
            "watchers": {**_named(WATCHER), "minProperties": 1},
        },
        "required": ["watchers"],
        "additionalProperties": False,
    }


def _named(options: Mapping[str, Option]) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": _section(options),
    }


def _section(options: Mapping[str, Option]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {key: _option(option) for key, option in options.items()},
        "additionalProperties": False,
    }
    required = [key for key, option in options.items() if option.default is REQUIRED]
    return {**schema, "required": required} if required else schema


def _option(option: Option) -> Schema:
    schema = {"description": " ".join(option.text.split()), **option.kind.schema}
    if option.default not in (None, REQUIRED):
        schema["default"] = option.default
    return schema
