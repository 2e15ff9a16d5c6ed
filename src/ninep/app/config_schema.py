"""The JSON schema of the configuration file (https://json-schema.org), from the rows."""

from __future__ import annotations

from typing import Any

from ninep.app.config_file import EXPORTS, INCLUDE, LIMIT_TABLE, LIMITS, TARGET, top_rows
from ninep.app.exports import export_rows
from ninep.options import schema


def file_schema() -> dict[str, Any]:
    """Of a whole file. Editors that know it complete keys and mark mistakes."""
    top: dict[str, Any] = schema(top_rows().values())
    export: dict[str, Any] = schema(export_rows())
    export["properties"] = {
        TARGET: {
            "type": "string",
            "minLength": 1,
            "description": "The folder, relative to the file, or a scheme and what its driver wants.",
        },
        **export["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration file of ninep serve",
        **top,
        "properties": {
            INCLUDE: {
                "description": "Files to read first, relative to this one; patterns (conf.d/*.toml) too.",
                **_one_or_several({"type": "string", "minLength": 1}),
            },
            **{key: _as_written(one) for key, one in top["properties"].items()},
            LIMIT_TABLE: {
                "type": "object",
                "description": "Limits: how much one client, and all together, may ask for.",
                "properties": {name: _limit(row) for name, row in LIMITS.items()},
                "additionalProperties": False,
            },
            EXPORTS: {
                "type": "object",
                "description": "A table for each export, by the name that clients choose it by (aname).",
                "additionalProperties": {
                    **export,
                    "properties": {key: _as_written(one) for key, one in export["properties"].items()},
                    "required": [TARGET],
                },
            },
        },
    }


def _one_or_several(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _as_written(one: dict[str, Any]) -> dict[str, Any]:
    """A single value stands for an array of one."""
    if one.get("type") != "array":
        return one
    rest = {key: value for key, value in one.items() if key not in {"type", "items"}}
    return {**rest, **_one_or_several(one["items"])}


def _limit(row: Any) -> dict[str, Any]:
    number = {"type": "number" if isinstance(row.default, float) else "integer", "minimum": row.metadata["low"]}
    return {
        "description": f"{row.metadata['meaning']} ({row.metadata['beyond']})",
        "default": row.default,
        "anyOf": [number, {"type": "string", "pattern": "^[0-9]+([.][0-9]+)? ?[KMGkmg]?([Ii]?[Bb])?$"}],
    }
