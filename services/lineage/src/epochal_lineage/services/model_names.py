"""Names for models that people call something a resource name cannot hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

MAX_LENGTH = 128
_ODD = re.compile(r"[^a-zA-Z0-9._-]+")
_PLAIN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}")


def ids_for(display_name: str) -> Iterator[str]:
    """Yield ids to try for a model that people call this, the plainest first, without end.

    A name that can be an id is one. Of any other name the odd characters are replaced, and a hash
    of the whole name is added, so that "a b" and "a/b" are two models.
    """
    base = display_name
    if not _PLAIN.fullmatch(display_name):
        digest = hashlib.sha256(display_name.encode()).hexdigest()[:8]
        plain = _ODD.sub("-", display_name).strip("-._")[: MAX_LENGTH - 9]
        base = f"{plain}-{digest}" if plain else f"model-{digest}"
    yield base
    number = 2
    while True:
        suffix = f"-{number}"
        yield base[: MAX_LENGTH - len(suffix)] + suffix
        number += 1
