"""Which fields exist at a place of a document: what suggestions and error paths need."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel


def fields_at(root: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Returns the names of the fields that the model at `path` has, as people write them."""
    kinds: list[object] = [root]
    for step in path:
        kinds = [inner for kind in kinds for inner in _step(kind, step)]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return sorted({alias for model in models for alias in _aliases(model)})


def _aliases(model: type[BaseModel]) -> Iterator[str]:
    return (info.alias or name for name, info in model.model_fields.items())


def _step(kind: object, step: str | int) -> Iterator[object]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if step in (name, info.alias):
                yield from _unwrap(info.annotation)
        return
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list and isinstance(step, int):
        yield from _unwrap(arguments[0])
    elif origin is dict:
        yield from _unwrap(arguments[1])


def _unwrap(annotation: object) -> Iterator[object]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _unwrap(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _unwrap(member)
    else:
        yield annotation
