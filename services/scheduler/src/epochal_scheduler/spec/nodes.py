"""The parsed text as a tree that remembers where each part stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from epochal_scheduler.spec.issues import Mark


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


Node: TypeAlias = Scalar | ListNode | MapNode


def to_data(node: Node) -> JsonValue:
    """Returns the tree as plain data; aliases are written out, so the result has no sharing."""
    match node:
        case Scalar(value=value):
            return value
        case ListNode(items=items):
            return [to_data(item) for item in items]
        case MapNode(entries=entries):
            return {key: to_data(value) for key, value in entries.items()}


def locate(root: Node, path: Sequence[str | int]) -> tuple[Mark, tuple[str | int, ...]]:
    """Returns the nearest place to a path, and the path without steps the text does not have.

    Validation errors carry steps of their own (names of union members) and name fields that are
    missing; the former are left out and the latter point at the mapping that lacks them.
    """
    node, mark, found = root, root.mark, list[str | int]()
    for index, step in enumerate(path):
        if isinstance(node, MapNode) and step in node.entries:
            mark, node = node.marks[str(step)], node.entries[str(step)]
            found.append(step)
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            mark = node.mark
            found.append(step)
        elif index == len(path) - 1 and isinstance(node, MapNode):
            found.append(step)
    return mark, tuple(found)
