"""What an event says of people, and the same event with other words in those places.

proto/ marks the fields: `PERSONAL_USER` for who, of which only "users/..." is a person (roles,
services and runs stay as they are), and `PERSONAL_TEXT` for what somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

import epochal_proto.v1 as pb
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

#: What every name of a person begins with.
USER: Final = "users/"

#: What every pseudonym begins with, and nobody's own name does.
ANONYMOUS: Final = "users/anon-"

_PSEUDONYM: Final = re.compile(r"users/anon-[a-z2-7]{26}")


class _Field(NamedTuple):
    """A field that holds words of one kind, or messages that do."""

    name: str
    repeated: bool
    inside: tuple[_Field, ...]


def is_person(name: str) -> bool:
    """Whether a name is a person's own, and no pseudonym."""
    return name.startswith(USER) and not is_pseudonym(name)


def is_pseudonym(name: str) -> bool:
    """Whether a name is what the log stores in place of a person's."""
    return name.startswith(ANONYMOUS) and _PSEUDONYM.fullmatch(name) is not None


def users_in(message: Message) -> Iterator[str]:
    """Yield every name of a person, own or pseudonym, that a message holds in a marked field."""
    for value in _values(message, _fields(message.DESCRIPTOR, pb.PERSONAL_USER)):
        if value.startswith(USER):
            yield value


def texts_in(message: Message) -> Iterator[str]:
    """Yield every text, not empty, that a message holds in a field for a person's own words."""
    for value in _values(message, _fields(message.DESCRIPTOR, pb.PERSONAL_TEXT)):
        if value:
            yield value


def renamed(message: Message, names: Mapping[str, str]) -> Message:
    """Return the message with names replaced, itself when it holds none of them."""
    return _replaced(message, pb.PERSONAL_USER, names)


def reworded(message: Message, texts: Mapping[str, str]) -> Message:
    """Return the message with people's own words replaced, itself when it holds none of them."""
    return _replaced(message, pb.PERSONAL_TEXT, texts)


def put_names(message: Message, known: Callable[[str], str | None]) -> set[str]:
    """Put people's names in the place of pseudonyms, in the message itself.

    Args:
        message: one that nobody else holds.
        known: gives a name, or None for a pseudonym that it does not know.

    Returns:
        The pseudonyms that are not known.
    """
    missing: set[str] = set()
    _put(message, _fields(message.DESCRIPTOR, pb.PERSONAL_USER), known, missing)
    return missing


def _put(
    message: Message,
    fields: tuple[_Field, ...],
    known: Callable[[str], str | None],
    missing: set[str],
) -> None:
    for field in fields:
        held = getattr(message, field.name)
        if field.inside:
            if field.repeated:
                for one in held:
                    _put(one, field.inside, known, missing)
            elif message.HasField(field.name):
                _put(held, field.inside, known, missing)
        elif field.repeated:
            for place, value in enumerate(held):
                if value.startswith(ANONYMOUS):
                    if (name := known(value)) is None:
                        missing.add(value)
                    else:
                        held[place] = name
        elif held.startswith(ANONYMOUS):
            if (name := known(held)) is None:
                missing.add(held)
            else:
                setattr(message, field.name, name)


def _replaced(message: Message, kind: pb.Personal, words: Mapping[str, str]) -> Message:
    fields = _fields(message.DESCRIPTOR, kind)
    if not fields or not any(value in words for value in _values(message, fields)):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    _replace(copy, fields, words)
    return copy


def _values(message: Message, fields: tuple[_Field, ...]) -> Iterator[str]:
    for field in fields:
        held = getattr(message, field.name)
        if field.inside:
            if field.repeated:
                for one in held:
                    yield from _values(one, field.inside)
            elif message.HasField(field.name):
                yield from _values(held, field.inside)
        elif field.repeated:
            yield from held
        else:
            yield held


def _replace(message: Message, fields: tuple[_Field, ...], words: Mapping[str, str]) -> None:
    for field in fields:
        held = getattr(message, field.name)
        if field.inside:
            if field.repeated:
                for one in held:
                    _replace(one, field.inside, words)
            elif message.HasField(field.name):
                _replace(held, field.inside, words)
        elif field.repeated:
            held[:] = [words.get(value, value) for value in held]
        elif held in words:
            setattr(message, field.name, words[held])


@cache
def _fields(descriptor: Descriptor, kind: pb.Personal) -> tuple[_Field, ...]:
    return _marked(descriptor, kind, ())


def _marked(
    descriptor: Descriptor, kind: pb.Personal, outside: tuple[str, ...]
) -> tuple[_Field, ...]:
    """The marked fields of a message and of those in it; a message within itself ends there."""
    if descriptor.full_name in outside or descriptor.GetOptions().map_entry:
        return ()
    outside = (*outside, descriptor.full_name)
    found: list[_Field] = []
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
            if inside := _marked(field.message_type, kind, outside):
                found.append(_Field(field.name, field.is_repeated, inside))
        elif field.GetOptions().Extensions[pb.personal] == kind:
            found.append(_Field(field.name, field.is_repeated, ()))
    return tuple(found)
