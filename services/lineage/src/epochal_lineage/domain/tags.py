"""Tags: names with values, set and removed; what does not change is not told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TagChange:
    """What really changes: tags that get another value, and names that were there."""

    tags: Mapping[str, str]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.tags or self.removed)


def tag_change(
    known: Mapping[str, str], tags: Mapping[str, str], removed: Iterable[str]
) -> TagChange:
    """Return what changes when tags are set and others removed; setting wins over removing."""
    return TagChange(
        {name: value for name, value in sorted(tags.items()) if known.get(name) != value},
        tuple(name for name in sorted(set(removed)) if name in known and name not in tags),
    )


def changed_tags(
    known: Mapping[str, str], tags: Mapping[str, str], removed: Iterable[str]
) -> Mapping[str, str]:
    """Return tags after a change."""
    gone = set(removed)
    rest = {name: value for name, value in known.items() if name not in gone}
    return {**rest, **tags}
