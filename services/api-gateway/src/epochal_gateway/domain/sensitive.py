"""Which artifacts are sensitive: what a tag of their project names."""

from __future__ import annotations

import fnmatch
from typing import Final

#: Tag of a project: patterns with spaces between. "kind:model" names a kind, all else a path, in
#: which * stands for anything, "/" too.
TAG: Final = "epochal.audit.reads"


def is_sensitive(patterns: str, path: str, kind: str) -> bool:
    """Whether one of the patterns names an artifact."""
    return any(
        kind == pattern.removeprefix("kind:")
        if pattern.startswith("kind:")
        else fnmatch.fnmatchcase(path, pattern)
        for pattern in patterns.split()
    )
