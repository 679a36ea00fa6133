"""What stood at a moment: members, tokens, projects, models, policies, queues, folded from the log.

Each thing is a kind, a name and fields of text, so that two moments compare field by field. It is
made on demand and never stored: the log is the only truth, and no read model can disagree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from epochal_lineage.domain.standing_folds import FOLDS, Key, flat


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing as it stands, with the event that changed it last."""

    fields: Mapping[str, str]
    position: int
    actor: str


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs; an empty text stands for nothing, an empty field for the whole."""

    key: Key
    field: str
    before: str
    after: str
    position: int
    actor: str


@dataclass
class Standing:
    """All that stands; grows by `apply`."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    _gone: dict[Key, Entry] = field(default_factory=dict)

    def apply(self, event: Message, position: int, actor: str) -> None:
        """Fold one event; a type that changes nothing here is passed over."""
        fold = FOLDS.get(event.DESCRIPTOR.full_name)
        if fold is None:
            return
        for key, fields in fold(event, self._fields).items():
            if fields is None:
                self.entries.pop(key, None)
                self._gone[key] = Entry({}, position, actor)
            else:
                self.entries[key] = Entry(fields, position, actor)

    def changes_to(self, later: Standing) -> list[Change]:
        """Return what differs in a later standing, by kind and name."""
        found: list[Change] = []
        for key in sorted(self.entries.keys() | later.entries.keys()):
            before, after = self.entries.get(key), later.entries.get(key)
            if after is None:
                last = later._gone.get(key, before)
                assert last is not None, "a key is in one of the two"
                found.append(Change(key, "", "there", "", last.position, last.actor))
                continue
            if before is None:
                found.append(Change(key, "", "", "there", after.position, after.actor))
            old = before.fields if before else {}
            found += [
                Change(
                    key,
                    name,
                    old.get(name, ""),
                    after.fields.get(name, ""),
                    after.position,
                    after.actor,
                )
                for name in sorted(old.keys() | after.fields.keys())
                if old.get(name, "") != after.fields.get(name, "")
            ]
        return found

    def _fields(self, key: Key) -> dict[str, str]:
        entry = self.entries.get(key)
        return dict(entry.fields) if entry else {}


#: Types that change what stands.
TYPES: Final = frozenset(FOLDS)


@dataclass
class AnyStream:
    """The last known value of each field that a stream's events named; for all other types.

    What it cannot know: that an event undoes what another said under another field's name.
    """

    fields: dict[str, str] = field(default_factory=dict)

    def apply(self, event: Message) -> None:
        """Remember what an event says."""
        self.fields |= flat(event)
