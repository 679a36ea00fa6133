"""Where an event names people, and the same event with other names in their place.

proto/ marks the fields, `[(personal) = PERSONAL_USER]`. Of what they hold only "users/..." is a
person; roles, services and runs stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    """A field that holds names, or messages that do."""

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
    yield from _users(message, _fields(message.DESCRIPTOR))


def renamed(message: Message, names: Mapping[str, str]) -> Message:
    """Return the message with names replaced, itself when it holds none of them."""
    fields = _fields(message.DESCRIPTOR)
    if not fields or not any(user in names for user in _users(message, fields)):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    _rename(copy, fields, names)
    return copy


def _users(message: Message, fields: tuple[_Field, ...]) -> Iterator[str]:
    for field in fields:
        held = getattr(message, field.name)
        if field.inside:
            if field.repeated:
                for one in held:
                    yield from _users(one, field.inside)
            elif message.HasField(field.name):
                yield from _users(held, field.inside)
        else:
            for value in held if field.repeated else (held,):
                if value.startswith(USER):
                    yield value


def _rename(message: Message, fields: tuple[_Field, ...], names: Mapping[str, str]) -> None:
    for field in fields:
        held = getattr(message, field.name)
        if field.inside:
            if field.repeated:
                for one in held:
                    _rename(one, field.inside, names)
            elif message.HasField(field.name):
                _rename(held, field.inside, names)
        elif field.repeated:
            held[:] = [names.get(value, value) for value in held]
        elif held in names:
            setattr(message, field.name, names[held])


@cache
def _fields(descriptor: Descriptor) -> tuple[_Field, ...]:
    return _marked(descriptor, ())


def _marked(descriptor: Descriptor, outside: tuple[str, ...]) -> tuple[_Field, ...]:
    """The marked fields of a message and of those in it; a message within itself ends there."""
    if descriptor.full_name in outside or descriptor.GetOptions().map_entry:
        return ()
    outside = (*outside, descriptor.full_name)
    found: list[_Field] = []
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
            if inside := _marked(field.message_type, outside):
                found.append(_Field(field.name, field.is_repeated, inside))
        elif field.GetOptions().Extensions[pb.personal] == pb.PERSONAL_USER:
            found.append(_Field(field.name, field.is_repeated, ()))
    return tuple(found)
