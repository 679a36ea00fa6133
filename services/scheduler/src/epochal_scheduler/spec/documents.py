"""YAML bytes to a tree of nodes, within bounds that no file can break.

Works on the parser's events, never on loaded objects: so a bomb is met while it is small, every
key is seen (loaders drop duplicates), and every value keeps its line and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from epochal_scheduler.spec.issues import Issue, Mark, SpecError
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Scalar
from epochal_scheduler.spec.scalars import resolve_plain

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_NODES = 50_000
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", _TAG + "str"})
_PLAIN_TAGS = frozenset(_TAG + kind for kind in ("int", "float", "bool", "null", "timestamp"))
_COLLECTION_TAGS = frozenset({"!", _TAG + "map", _TAG + "seq"})


def parse_document(source: bytes, index: int = 0) -> MapNode:
    """Parses the one document of a polyaxonfile.

    Args:
        source: UTF-8, at most 1 MiB, 50 levels and 50,000 nodes, aliases written out.
        index: which text it is; every place says so.

    Raises:
        SpecError: with line and column of what breaks YAML or one of the bounds.
    """
    text = _decode(source, index)
    try:
        return _Reader(yaml.parse(text, Loader=yaml.CSafeLoader), index).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise SpecError(
            [Issue(_mark(mark, index), "", "yaml_syntax", f"not YAML: {problem}")]
        ) from error
    except yaml.reader.ReaderError as error:
        # The position counts bytes: the C parser reads UTF-8.
        before = text.encode()[: error.position].decode(errors="ignore")
        place = Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1, index)
        message = f"a character that YAML forbids: U+{error.character:04X}; remove it"
        raise SpecError([Issue(place, "", "yaml_syntax", message)]) from error


def _decode(source: bytes, index: int) -> str:
    if len(source) > MAX_BYTES:
        message = f"the file has {len(source)} bytes; at most {MAX_BYTES} (1 MiB) are read"
        raise SpecError([Issue(Mark(source=index), "", "too_large", message)])
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # UnicodeDecodeError counts from behind the byte order mark, which is three bytes.
        offset = error.start + (3 if source.startswith(b"\xef\xbb\xbf") else 0)
        before = source[:offset]
        place = Mark(before.count(b"\n") + 1, offset - (before.rfind(b"\n") + 1) + 1)
        message = f"not UTF-8: byte 0x{source[offset]:02x} at offset {offset}; save as UTF-8"
        raise SpecError([Issue(place, "", "not_utf8", message)]) from error


class _HasPlace(Protocol):
    line: int
    column: int


def _mark(mark: _HasPlace | None, index: int) -> Mark:
    if mark is None:
        return Mark(source=index)
    return Mark(mark.line + 1, mark.column + 1, index)


def _fatal(mark: Mark, rule: str, message: str) -> SpecError:
    return SpecError([Issue(mark, "", rule, message)])


@dataclass(slots=True)
class _Reader:
    """Builds nodes from events; one per document."""

    events: Iterator[yaml.Event]
    index: int
    nodes: int = 0
    open_anchors: set[str] = field(default_factory=set)
    anchors: dict[str, tuple[Node, int]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    def document(self) -> MapNode:
        next(self.events)  # the stream starts
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise _fatal(
                Mark(source=self.index), "empty", "the file is empty; begin with 'version: 1.1'"
            )
        root = self._node(next(self.events), 1)
        next(self.events)  # the document ends
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            message = "a second document begins here; put each in a file of its own"
            raise _fatal(_mark(after.start_mark, self.index), "many_documents", message)
        if not isinstance(root, MapNode):
            self.issues.append(
                Issue(root.mark, "", "wrong_type", "the file must be a mapping of fields")
            )
        if self.issues or not isinstance(root, MapNode):
            raise SpecError(self.issues)
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = _mark(event.start_mark, self.index)
        if depth > MAX_DEPTH:
            raise _fatal(mark, "too_deep", f"more than {MAX_DEPTH} levels; flatten the file")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark)
        self._count(1, mark, "")
        before, anchor = self.nodes, getattr(event, "anchor", None)
        if anchor is not None:
            self.open_anchors.add(anchor)
        node = self._collection_or_scalar(event, mark, depth)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = (node, self.nodes - before + 1)
        return node

    def _collection_or_scalar(self, event: yaml.Event, mark: Mark, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, mark)
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _COLLECTION_TAGS:
            self._refuse_tag(tag, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return ListNode(tuple(self._items(depth)), mark)
        return self._mapping(mark, depth)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, mark: Mark, depth: int) -> MapNode:
        made = MapNode({}, {}, mark)
        merged: list[Node] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self.events), depth + 1)
            if not isinstance(key, Scalar):
                message = "a key must be a plain name, not a list or a mapping"
                self.issues.append(Issue(key.mark, "", "wrong_key", message))
            elif key.text == "<<":
                merged.append(value)
            elif key.text in made.entries:
                first = made.marks[key.text].line
                message = f"'{key.text}' is here twice (first on line {first}); keep one"
                self.issues.append(Issue(key.mark, key.text, "duplicate_key", message))
            else:
                made.entries[key.text], made.marks[key.text] = value, key.mark
        for value in merged:
            self._merge(made, value)
        return made

    def _merge(self, made: MapNode, value: Node) -> None:
        sources = value.items if isinstance(value, ListNode) else (value,)
        for source in sources:
            if not isinstance(source, MapNode):
                message = "'<<' merges mappings only"
                self.issues.append(Issue(source.mark, "<<", "wrong_type", message))
                continue
            for key, entry in source.entries.items():
                made.entries.setdefault(key, entry)
                made.marks.setdefault(key, source.marks[key])

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Scalar:
        text = event.value
        if event.tag in _TEXT_TAGS or (event.tag is None and not event.implicit[0]):
            return Scalar(text, text, mark)
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            self._refuse_tag(event.tag, mark)
        try:
            return Scalar(resolve_plain(text), text, mark)
        except ValueError as error:
            self.issues.append(Issue(mark, "", "too_large", str(error)))
            return Scalar(text, text, mark)

    def _alias(self, anchor: str | None, mark: Mark) -> Node:
        if anchor in self.open_anchors:
            message = f"'*{anchor}' stands inside '&{anchor}' itself: a cycle; write it out"
            raise _fatal(mark, "cyclic_alias", message)
        if anchor is None or anchor not in self.anchors:
            raise _fatal(mark, "unknown_alias", f"no '&{anchor}' comes before '*{anchor}'")
        node, size = self.anchors[anchor]
        self._count(size, mark, f" when '*{anchor}' is written out")
        return node

    def _count(self, more: int, mark: Mark, when: str) -> None:
        self.nodes += more
        if self.nodes > MAX_NODES:
            message = f"more than {MAX_NODES} values{when}; make the file smaller"
            raise _fatal(mark, "alias_bomb" if when else "too_many_nodes", message)

    def _refuse_tag(self, tag: str, mark: Mark) -> None:
        shown = tag.replace(_TAG, "!!")
        message = f"tag '{shown}' is not read: only plain YAML values are; remove the tag"
        self.issues.append(Issue(mark, "", "unsafe_tag", message))
