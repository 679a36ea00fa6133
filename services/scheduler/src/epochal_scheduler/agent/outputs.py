"""Declared outputs: read from what the process wrote, and held against the spec.

A process writes a JSON object, or lines of JSON objects or `name=value`, into the file that
`EPOCHAL_OUTPUTS_FILE` names; of two values for one name the later counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument
from pydantic import JsonValue

from epochal_scheduler.spec.compiled import ResolvedIO
from epochal_scheduler.spec.iotypes import coerce, parse_type
from epochal_scheduler.spec.validations import broken_rules
from epochal_scheduler.texts import assert_storable
from epochal_scheduler.values import to_value

MAX_BYTES = 1024 * 1024
MAX_OUTPUTS = 1000
SHOWN_CHARS = 100


class BadOutputs(ValueError):
    """What the process left is not what its spec declares; the message names each output."""


def read_outputs(file: Path) -> dict[str, JsonValue]:
    """Reads what a process wrote; nothing when there is no file.

    Raises:
        BadOutputs: it is too large, or a line is neither JSON nor `name=value`.
        OSError: the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    if len(data) > MAX_BYTES:
        raise BadOutputs(f"outputs: the file has more than {MAX_BYTES} bytes; write files instead")
    text = data.decode("utf-8", "replace").strip()
    whole = _object(text)
    found: dict[str, JsonValue] = {}
    for number, line in enumerate([] if whole is not None else text.splitlines(), start=1):
        found |= _line(line.strip(), number)
    found |= whole or {}
    if len(found) > MAX_OUTPUTS:
        raise BadOutputs(f"outputs: {len(found)} values are more than {MAX_OUTPUTS}")
    return found


def checked_outputs(
    declared: Sequence[ResolvedIO], written: Mapping[str, JsonValue]
) -> dict[str, pb.Value]:
    """Returns the outputs of a run with their types: those declared, and any other written.

    Raises:
        BadOutputs: one that is not optional is missing, or breaks its type or a rule.
    """
    values: dict[str, JsonValue] = dict(written)
    problems: list[str] = []
    for io in declared:
        value = values.get(io.name, io.value)
        if value is None:
            values.pop(io.name, None)
            if not io.is_optional and not parse_type(io.type).takes_none:
                problems.append(f"output '{io.name}' is declared ({io.type}) and was not written")
            continue
        try:
            values[io.name] = coerce(parse_type(io.type), value)
        except ValueError as error:
            problems.append(f"output '{io.name}' {error}")
            continue
        if io.validation is not None:
            problems += [
                f"output '{io.name}' = {_shown(value)} breaks its rule: {rule}"
                for rule in broken_rules(io.validation, values[io.name])
            ]
    if problems:
        raise BadOutputs("; ".join(problems))
    try:
        message = pb.RunOutputsRecorded(
            outputs={name: to_value(value) for name, value in values.items()}
        )
        assert_storable(message)
    except (ValueError, InvalidArgument) as error:  # half a surrogate pair, or U+0000
        raise BadOutputs(f"outputs: {error}") from error
    return dict(message.outputs)


def _object(text: str) -> dict[str, JsonValue] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _line(line: str, number: int) -> dict[str, JsonValue]:
    if not line:
        return {}
    found = _object(line)
    if found is not None:
        return found
    name, mark, value = line.partition("=")
    if not mark or not name.strip():
        raise BadOutputs(f"outputs: line {number} is neither JSON nor name=value: {_shown(line)}")
    return {name.strip(): _plain(value.strip())}


def _plain(text: str) -> JsonValue:
    """A number, truth value, list or mapping as JSON has it; else the text itself."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _shown(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."
