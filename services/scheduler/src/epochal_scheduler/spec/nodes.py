"""The parsed text as a tree that remembers where each part stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import JsonValue

from epochal_scheduler.spec.issues import NOWHERE, Issue, Mark, dotted

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, and the text it was written as."""

    value: str | int | float | bool | None
    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping with the place of every key; `entries` and `marks` have the same keys."""

    entries: dict[str, Node]
    marks: dict[str, Mark]
    mark: Mark

    def without(self, *names: str) -> MapNode:
        """Returns the mapping without these keys."""
        if not self.entries.keys() & set(names):
            return self
        kept = {key: node for key, node in self.entries.items() if key not in names}
        return MapNode(kept, {key: self.marks[key] for key in kept}, self.mark)

    def having(self, key: str, node: Node, mark: Mark | None = None) -> MapNode:
        """Returns the mapping with one more key, or another value for one."""
        place = mark if mark is not None else self.marks.get(key, node.mark)
        return MapNode({**self.entries, key: node}, {**self.marks, key: place}, self.mark)


Node: TypeAlias = Scalar | ListNode | MapNode


def text_at(node: Node | None, *path: str) -> str | None:
    """Returns the text at a path of keys; None if there is none."""
    found = node_at(node, *path)
    if isinstance(found, Scalar) and isinstance(found.value, str):
        return found.value
    return None


def node_at(node: Node | None, *path: str) -> Node | None:
    """Returns what stands at a path of keys; None if nothing does."""
    for step in path:
        if not isinstance(node, MapNode):
            return None
        node = node.entries.get(step)
    return node


def to_data(node: Node) -> JsonValue:
    """Returns the tree as plain data; aliases are written out, so the result has no sharing."""
    match node:
        case Scalar(value=value):
            return value
        case ListNode(items=items):
            return [to_data(item) for item in items]
        case MapNode(entries=entries):
            return {key: to_data(value) for key, value in entries.items()}


def from_data(data: JsonValue, mark: Mark = NOWHERE) -> Node:
    """Returns plain data as a tree, all of it at one place."""
    if isinstance(data, dict):
        entries = {key: from_data(value, mark) for key, value in data.items()}
        return MapNode(entries, dict.fromkeys(entries, mark), mark)
    if isinstance(data, list):
        return ListNode(tuple(from_data(item, mark) for item in data), mark)
    return Scalar(data, "" if data is None else str(data), mark)


@dataclass(frozen=True, slots=True)
class Trace:
    """How far a path leads: the last part that exists, and what of the path is left."""

    mark: Mark
    kind: str
    found: Path
    tail: Path


def trace(root: Node, path: Sequence[str | int]) -> Trace:
    """Follows a path as far as it goes.

    Validation errors carry steps of their own (names of union members) and name fields that are
    missing; the former are left out and the latter point at the mapping that lacks them.
    """
    node, mark, kind, found, tail = root, root.mark, "root", list[str | int](), list[str | int]()
    for index, step in enumerate(path):
        if isinstance(node, MapNode) and step in node.entries:
            mark, node, kind = node.marks[str(step)], node.entries[str(step)], "key"
            found.append(step)
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark, kind = node.mark, "item"
            found.append(step)
        elif index == len(path) - 1 and isinstance(node, MapNode):
            tail.append(step)
    return Trace(mark, kind, tuple(found), tuple(tail))


def locate(root: Node, path: Sequence[str | int]) -> tuple[Mark, Path]:
    """Returns the nearest place to a path, and the path without steps the text does not have."""
    found = trace(root, path)
    return found.mark, (*found.found, *found.tail)


@dataclass(slots=True)
class Origins:
    """The texts that a tree was put together from: every place, and the path it had there."""

    roots: list[MapNode] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    _keys: dict[Mark, Path] = field(default_factory=dict)
    _items: dict[Mark, Path] = field(default_factory=dict)
    _values: dict[Mark, Path] = field(default_factory=dict)
    _read: int = 0

    def path_of(self, found: Trace) -> Path | None:
        """Returns the path that a place had in its own text; None if it has none there."""
        while self._read < len(self.roots):
            self._index(self.roots[self._read], ())
            self._read += 1
        if found.kind == "root":
            return self._items.get(found.mark) or self._values.get(found.mark) or ()
        return (self._keys if found.kind == "key" else self._items).get(found.mark)

    def _index(self, node: Node, path: Path) -> None:
        if isinstance(node, MapNode):
            for key, inner in node.entries.items():
                self._keys.setdefault(node.marks[key], (*path, key))
                if isinstance(inner, MapNode):
                    self._values.setdefault(inner.mark, (*path, key))
                self._index(inner, (*path, key))
        elif isinstance(node, ListNode):
            for index, inner in enumerate(node.items):
                self._items.setdefault(inner.mark, (*path, index))
                self._index(inner, (*path, index))


@dataclass(frozen=True, slots=True)
class Places:
    """A tree with the texts it comes from: what turns a path into an issue."""

    root: Node
    origins: Origins = field(default_factory=Origins)

    def issue(self, path: Sequence[str | int], rule: str, message: str) -> Issue:
        """Returns an issue at a path, with place and path as the author's text has them."""
        found = trace(self.root, path)
        label = self.origins.labels.get(found.mark.source)
        shown = f"in {label}: {message}" if label else message
        return Issue(found.mark, self.field(path), rule, shown)

    def field(self, path: Sequence[str | int]) -> str:
        """Returns the dotted path as the author's text has it."""
        found = trace(self.root, path)
        own = self.origins.path_of(found) if found.mark.line else None
        if own is None:
            own = found.found
        return dotted((*own, *found.tail))

    def under(self, *path: str | int) -> Places:
        """Returns the part at a path as a tree of its own."""
        node = self.root
        for step in path:
            if isinstance(node, MapNode):
                node = node.entries[str(step)]
            elif isinstance(node, ListNode) and isinstance(step, int):
                node = node.items[step]
        return Places(node, self.origins)
