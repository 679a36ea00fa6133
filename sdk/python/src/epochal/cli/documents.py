"""Polyaxonfiles of this machine: read, with the files that they name by `pathRef`.

The platform compiles; here only what must be known before anything is sent is looked at: which
other files go along, and which folders the file wants uploaded (`mount`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from epochal.errors import InvalidArgument

MAX_BYTES: Final = 1024 * 1024
DEFAULT_FILES: Final = (
    "epochal.yaml",
    "epochal.yml",
    "polyaxonfile.yaml",
    "polyaxonfile.yml",
    "polyaxon.yaml",
    "polyaxon.yml",
)
_MAX_REFERRED: Final = 100


@dataclass(frozen=True, slots=True)
class Document:
    """One text, what to call it in messages, and the folder that its paths are relative to."""

    text: bytes
    label: str
    folder: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, and where it comes to below the run's folder."""

    source: Path
    target: str


def default_file() -> str:
    """The file of the current folder that commands take when none is named.

    Raises:
        InvalidArgument: There is none.
    """
    found = next((name for name in DEFAULT_FILES if Path(name).is_file()), "")
    if not found:
        raise InvalidArgument(
            "say what to run: -f FILE, --hub NAME:TAG or --cmd COMMAND "
            f"(there is no {DEFAULT_FILES[0]} in this folder)"
        )
    return found


def read_document(file: str) -> Document:
    """Reads one file; `-` is standard input.

    Raises:
        InvalidArgument: It cannot be read, or is too large.
    """
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"cannot read {file}: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise InvalidArgument(f"{file} has {len(text)} bytes; a polyaxonfile has at most 1 MiB")
    return Document(text, file, Path.cwd() if file == "-" else Path(file).resolve().parent)


def referred_files(documents: Sequence[Document]) -> dict[str, bytes]:
    """The texts of all files that these name by `pathRef`, and so on, by the name as written.

    A name is relative to the file that has it. The platform knows texts by these names alone, so
    one name may not mean two files.

    Raises:
        InvalidArgument: A file cannot be read, there are too many, or a name means two files.
    """
    found: dict[str, bytes] = {}
    places: dict[str, Path] = {}
    waiting = list(documents)
    while waiting:
        document = waiting.pop()
        for name in _names(document.text):
            path = (document.folder / name).resolve()
            if places.setdefault(name, path) != path:
                raise InvalidArgument(
                    f"pathRef {name!r} means both {places[name]} and {path}: write one of them "
                    f"differently, such as './{name}'"
                )
            if name in found:
                continue
            read = _read_referred(path, name, document.label)
            found[name] = read.text
            waiting.append(read)
            if len(found) > _MAX_REFERRED:
                raise InvalidArgument(f"more than {_MAX_REFERRED} files are named by pathRef")
    return found


def mounts(documents: Sequence[Document]) -> list[Mount]:
    """What these want uploaded: `mount` with `dir`, `dir:to` or `{from, to}`.

    Raises:
        InvalidArgument: There is no such file or folder.
    """
    found = []
    for document in documents:
        root = _root(document.text)
        for item in _items(_entry(root, "mount")):
            if isinstance(item, yaml.ScalarNode):
                source, _, target = str(item.value).partition(":")
            else:
                source, target = _text(_entry(item, "from")), _text(_entry(item, "to"))
            path = (document.folder / Path(source).expanduser()).resolve()
            if source and not path.exists():
                raise InvalidArgument(f"{document.label}: mount: there is no {path}")
            if source:
                found.append(Mount(path, target))
    return found


def without_fields(document: Document, names: Sequence[str]) -> Document:
    """The document without some fields of its root."""
    root = _root(document.text)
    if not isinstance(root, yaml.MappingNode):
        return document
    root.value = [pair for pair in root.value if _text(pair[0]) not in names]
    return Document(yaml.serialize(root).encode(), document.label, document.folder)


def is_preset(document: Document) -> bool:
    """Whether the document says `isPreset: true`."""
    root = _root(document.text)
    return any(_text(_entry(root, name)).lower() == "true" for name in ("isPreset", "is_preset"))


def _read_referred(path: Path, name: str, label: str) -> Document:
    try:
        read = read_document(str(path))
    except InvalidArgument as error:
        raise InvalidArgument(f"{label}: pathRef {name!r}: {error.message}") from error
    return Document(read.text, name, path.parent)


def _root(text: bytes) -> yaml.Node | None:
    """The root node; None for what is no YAML: the platform says so, with lines."""
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return root


def _names(text: bytes) -> Iterator[str]:
    waiting: list[yaml.Node] = [node for node in [_root(text)] if node is not None]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = _text(value)
                if _text(key) in {"pathRef", "path_ref"} and name and "{{" not in name:
                    yield name
                waiting.append(value)


def _entry(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if _text(key) == name), None)


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [] if node is None else [node]


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
