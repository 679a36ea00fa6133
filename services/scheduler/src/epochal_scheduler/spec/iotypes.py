"""Types of inputs and outputs: Polyaxon's names, and typing expressions such as `List[float]`."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.values import finite

MAX_NESTING = 10


@dataclass(frozen=True, slots=True)
class IOType:
    """A type expression: a name, and the types between its brackets."""

    name: str
    arguments: tuple[IOType, ...] = ()

    def __str__(self) -> str:
        inner = ", ".join(str(argument) for argument in self.arguments)
        return f"{self.name}[{inner}]" if inner else self.name

    @property
    def takes_none(self) -> bool:
        """Whether no value at all is a value of this type."""
        if self.name == "union":
            return any(argument.takes_none for argument in self.arguments)
        return self.name in ("optional", "none", "any")


def parse_type(text: str) -> IOType:
    """Parses a type expression.

    Raises:
        ValueError: what is wrong with it, and the nearest name that exists.
    """
    tokens = re.findall(r"[A-Za-z_][A-Za-z0-9_.]*|[\[\],]|\S", text)
    parsed, rest = _parse(tokens, 0)
    if rest:
        raise ValueError(f"type '{text}' has '{rest[0]}' too much")
    return parsed


def _parse(tokens: list[str], depth: int) -> tuple[IOType, list[str]]:
    if not tokens:
        raise ValueError("a type is missing")
    if depth > MAX_NESTING:
        raise ValueError(f"a type nests deeper than {MAX_NESTING}")
    written, rest = tokens[0], tokens[1:]
    name = written.removeprefix("typing.").lower()
    if name in _GENERICS and rest[:1] == ["["]:
        arguments, rest = list[IOType](), rest[1:]
        while True:
            argument, rest = _parse(rest, depth + 1)
            arguments.append(argument)
            if rest[:1] == ["]"]:
                return IOType(_GENERICS[name], tuple(arguments)), rest[1:]
            if rest[:1] != [","]:
                raise ValueError(f"'{written}[' is not closed; add ']'")
            rest = rest[1:]
    if name in _GENERICS and name not in _PARSERS:
        raise ValueError(f"'{written}' needs brackets, such as {written}[int]")
    if name not in _PARSERS:
        raise ValueError(f"there is no type '{written}'; {did_you_mean(written, _PARSERS)}")
    return IOType(name), rest


def coerce(kind: IOType, value: JsonValue) -> JsonValue:
    """Returns the value as its type has it; text from a command line or template is read.

    Raises:
        ValueError: the value is not of the type; the message says what was expected.
    """
    match kind.name:
        case "optional":
            return None if value is None else coerce(kind.arguments[0], value)
        case "union":
            return _coerce_union(kind, value)
        case "list" if kind.arguments:
            return [coerce(kind.arguments[0], item) for item in _to_list(value)]
        case "tuple":
            items = _to_list(value)
            if len(items) != len(kind.arguments):
                raise ValueError(f"must have {len(kind.arguments)} items; it has {len(items)}")
            return [coerce(inner, item) for inner, item in zip(kind.arguments, items, strict=True)]
        case "dict" if len(kind.arguments) == 2:
            pairs = _to_dict(value).items()
            return {
                str(coerce(kind.arguments[0], key)): coerce(kind.arguments[1], item)
                for key, item in pairs
            }
    return _PARSERS[kind.name](value)


def _coerce_union(kind: IOType, value: JsonValue) -> JsonValue:
    for inner in kind.arguments:
        try:
            return coerce(inner, value)
        except ValueError:
            continue
    raise ValueError(f"must be one of {kind}; it is {_shown(value)}")


def _wrong(expected: str, value: JsonValue) -> ValueError:
    return ValueError(f"must be {expected}; it is {_shown(value)}")


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _to_int(value: JsonValue) -> JsonValue:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,1000}\s*", value):
        return int(value)
    raise _wrong("a whole number", value)


def _to_float(value: JsonValue) -> JsonValue:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return finite(float(value))
        except (ValueError, OverflowError):
            pass
    raise _wrong("a number", value)


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _to_bool(value: JsonValue) -> JsonValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise _wrong("true or false", value)


def _to_text(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise _wrong("text", value)


def _from_json(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            parsed: JsonValue = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return parsed
    return value


def _to_list(value: JsonValue) -> list[JsonValue]:
    read = _from_json(value)
    if isinstance(read, list):
        return read
    raise _wrong("a list", value)


def _to_dict(value: JsonValue) -> dict[str, JsonValue]:
    read = _from_json(value)
    if isinstance(read, dict):
        return read
    raise _wrong("a mapping", value)


def _to_dict_of_dicts(value: JsonValue) -> JsonValue:
    read = _to_dict(value)
    if all(isinstance(item, dict) for item in read.values()):
        return {**read}
    raise _wrong("a mapping of mappings", value)


def _text_or_dict(value: JsonValue) -> JsonValue:
    read = _from_json(value)
    if isinstance(read, str | dict):
        return read
    raise _wrong("text or a mapping", value)


def _url(*schemes: str) -> Callable[[JsonValue], JsonValue]:
    def parse(value: JsonValue) -> JsonValue:
        if isinstance(value, str) and value.startswith(schemes):
            return value
        raise _wrong("a URL that begins with " + " or ".join(schemes), value)

    return parse


def _to_date(value: JsonValue) -> JsonValue:
    try:
        return dt.date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise _wrong("a date such as 2026-01-31", value) from None


def _to_datetime(value: JsonValue) -> JsonValue:
    try:
        return dt.datetime.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise _wrong("a time such as 2026-01-31T08:00:00+00:00", value) from None


def _to_none(value: JsonValue) -> JsonValue:
    if value is None:
        return None
    raise _wrong("empty", value)


def _mapping(value: JsonValue) -> JsonValue:
    return {**_to_dict(value)}


def _list(value: JsonValue) -> JsonValue:
    return [*_to_list(value)]


_PARSERS: Mapping[str, Callable[[JsonValue], JsonValue]] = {
    "any": lambda value: value,
    "none": _to_none,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "str": _to_text,
    "dict": _mapping,
    "dict_of_dicts": _to_dict_of_dicts,
    "list": _list,
    "uri": _text_or_dict,
    "auth": _text_or_dict,
    "gcs": _url("gs://"),
    "s3": _url("s3://"),
    "wasb": _url("wasb://", "wasbs://", "abfs://", "abfss://"),
    "dockerfile": _mapping,
    "git": _text_or_dict,
    "image": _text_or_dict,
    "event": _mapping,
    "artifacts": _mapping,
    "path": _to_text,
    "metric": _to_float,
    "metadata": _mapping,
    "date": _to_date,
    "datetime": _to_datetime,
    "file": _text_or_dict,
    "tensorboard": _mapping,
    "uuid": _to_text,
}
_GENERICS: Mapping[str, str] = {
    "list": "list",
    "set": "list",
    "sequence": "list",
    "dict": "dict",
    "mapping": "dict",
    "tuple": "tuple",
    "optional": "optional",
    "union": "union",
}
