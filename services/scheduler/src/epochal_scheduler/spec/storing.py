"""Text that no database keeps: U+0000, and halves of surrogate pairs."""

from __future__ import annotations

import re

from pydantic import JsonValue

from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.nodes import Path, Places
from epochal_scheduler.spec.values import to_json

# JSON writes U+0000 as an escape and leaves halves of pairs as they are.
_SUSPECT = re.compile("[\ud800-\udfff]|\\\\u0000")


def unstorable(places: Places, fields: JsonValue) -> list[Issue]:
    """Returns an issue for each text that cannot be kept.

    Quotes, templates and callers can write such.
    """
    return _search(places, fields, ()) if _SUSPECT.search(to_json(fields)) else []


def _search(places: Places, value: JsonValue, path: Path) -> list[Issue]:
    if isinstance(value, dict):
        return [
            issue
            for key, inner in value.items()
            for issue in (*_search(places, key, path), *_search(places, inner, (*path, key)))
        ]
    if isinstance(value, list):
        pairs = enumerate(value)
        return [issue for i, inner in pairs for issue in _search(places, inner, (*path, i))]
    if not isinstance(value, str) or not any(
        char == "\x00" or "\ud800" <= char <= "\udfff" for char in value
    ):
        return []
    message = "the character U+0000, or half a surrogate pair, cannot be kept; remove it"
    return [places.issue(path, "forbidden_character", message)]
