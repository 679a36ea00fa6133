"""Which fields exist at a place of a document: for suggestions, spelling and merging."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import BaseModel

Kinds = tuple[object, ...]
"""What may stand at a place: models, `list[...]`, `dict[...]`, and plain types."""


def fields_at(root: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Returns the names of the fields that the model at `path` has, as people write them.

    The path may hold the names of union members, as the errors of pydantic do.
    """
    kinds: Kinds = (root,)
    for at in path:
        found = step(kinds, at)
        kinds = found or narrow(kinds, str(at))
    return sorted({alias for kind in models(kinds) for alias, _ in table(kind).values()})


@lru_cache(maxsize=512)
def table(model: type[BaseModel]) -> Mapping[str, tuple[str, Kinds]]:
    """Returns, by both spellings of each field, its name on paper and what may stand there."""
    made = dict[str, tuple[str, Kinds]]()
    for name, info in model.model_fields.items():
        annotation: object = info.annotation
        entry = (info.alias or name, _unwrap(annotation))
        made[name] = made[info.alias or name] = entry
    return made


def models(kinds: Kinds) -> list[type[BaseModel]]:
    """Returns the models among what may stand at a place."""
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def step(kinds: Kinds, at: str | int) -> Kinds:
    """Returns what may stand one step further."""
    found = list[object]()
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            entry = table(kind).get(str(at))
            found += entry[1] if entry is not None else ()
            continue
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is list and isinstance(at, int):
            found += _unwrap(arguments[0])
        elif origin is dict and isinstance(at, str):
            found += _unwrap(arguments[1])
    return tuple(found)


def without_tags(root: type[BaseModel], loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Returns the place of an error of pydantic without the names of union members.

    A member may be named like a field (`cron`), so only the grammar can tell them apart.
    """
    kinds: Kinds = (root,)
    path = list[str | int]()
    for at in loc:
        union = models(kinds)
        if len(union) > 1 and any(at in _kinds_of(kind) for kind in union):
            kinds = narrow(kinds, str(at))
            continue
        path.append(at)
        kinds = step(kinds, at)
    return tuple(path)


def narrow(kinds: Kinds, name: str) -> Kinds:
    """Returns the models whose `kind` has this value; all of them if none has."""
    return tuple(kind for kind in models(kinds) if name in _kinds_of(kind)) or kinds


def _kinds_of(model: type[BaseModel]) -> tuple[object, ...]:
    info = model.model_fields.get("kind")
    return typing.get_args(info.annotation) if info is not None else ()


@lru_cache(maxsize=2048)
def _unwrap(annotation: object) -> Kinds:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _unwrap(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(inner for member in typing.get_args(annotation) for inner in _unwrap(member))
    return (annotation,)
