"""Text that PostgreSQL cannot hold: U+0000 has no place in its `text`.

It is valid in protobuf and JSON, so it arrives; an event that carried it could never be projected
and would halt every consumer. It is refused where people name things, and replaced where programs
say things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message

NUL = "\x00"


def storable(text: str) -> str:
    """Returns text with each U+0000 replaced by U+FFFD."""
    return text.replace(NUL, "\ufffd")


def assert_storable(request: Message) -> None:
    """Refuses a request that has U+0000 in any of its texts.

    Raises:
        InvalidArgument: names every such field.
    """
    violations = [
        Violation(path, "string.no_nul", "must not contain the character U+0000")
        for path in _with_nul(request, "")
    ]
    if violations:
        raise InvalidArgument(
            f"{violations[0].field} {violations[0].message}", violations=violations
        )


def _with_nul(value: object, path: str) -> Iterator[str]:
    if isinstance(value, str):
        if NUL in value:
            yield path
    elif isinstance(value, Message):
        for field, inner in value.ListFields():
            yield from _with_nul(inner, f"{path}.{field.name}" if path else field.name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _with_nul(key, path)
            yield from _with_nul(inner, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for inner in value:
            yield from _with_nul(inner, path)
