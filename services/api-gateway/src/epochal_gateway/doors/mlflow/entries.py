"""What may be logged: names and values of metrics, parameters and tags, by MLflow's rules.

The rules and their words are those of mlflow/utils/validation.py.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import epochal_proto.v1 as pb

from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields

KEY_CHARS: Final = 250
PARAM_CHARS: Final = 6_000
TAG_CHARS: Final = 8_000
MAX_METRICS: Final = 1_000
MAX_PARAMS_OR_TAGS: Final = 100
MAX_ENTITIES: Final = 1_000
MAX_BATCH_BYTES: Final = 1_000_000

#: Milliseconds that are within 64 bits as microseconds.
_LAST_TIME_MS: Final = (2**63 - 1) // 1_000
_GOOD_NAME = re.compile(r"[/\w.\- :]*\Z")


def metric(fields: Fields) -> pb.MetricPoint:
    """Return one point of a metric.

    Raises:
        MlflowError: it breaks a rule.
    """
    key = fields.required("key")
    value = fields.number("value")
    time_ms = fields.required_whole("timestamp")
    if _problem_of(key) or len(key) > KEY_CHARS:
        _assert_name(key, fields.place("name"), "Metric name")
    if not 0 <= time_ms <= _LAST_TIME_MS:
        raise MlflowError(
            f"Invalid value {time_ms} for parameter '{fields.place('timestamp')}' supplied: metric "
            f"'{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) "
        )
    return pb.MetricPoint(
        metric=key, value=value, time_us=time_ms * 1_000, step=fields.whole("step")
    )


def param(fields: Fields) -> tuple[str, str]:
    """Return a parameter: its name and its value, cut to what MLflow's server keeps.

    Raises:
        MlflowError: it breaks a rule.
    """
    key, value = fields.required("key"), fields.text("value")
    _assert_name(key, fields.place("key"), "Param key")
    return key, value[:PARAM_CHARS]


def tag(fields: Fields) -> tuple[str, str]:
    """Return a tag: its name and its value, cut to what MLflow's server keeps.

    Raises:
        MlflowError: it breaks a rule.
    """
    key, value = fields.required("key"), fields.text("value")
    _assert_name(key, fields.place("key"), fields.place("key"))
    return key, value[:TAG_CHARS]


def params(found: Sequence[Fields]) -> dict[str, str]:
    """Return parameters by name.

    Raises:
        MlflowError: one breaks a rule, or a name comes twice.
    """
    pairs = [param(one) for one in found]
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [key for key, _ in pairs]
        twice = [name for place, name in enumerate(names) if name in names[:place]]
        raise MlflowError(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure "
            "the request contains only one param value per param key."
        )
    return values


def assert_batch(counts: Mapping[str, int]) -> None:
    """Refuse a batch of too many entities.

    Raises:
        MlflowError: too many, of one kind or of all.
    """
    for kind, count in counts.items():
        _assert_count(kind, MAX_METRICS if kind == "metrics" else MAX_PARAMS_OR_TAGS, count)
    _assert_count("metrics, params, and tags", MAX_ENTITIES, sum(counts.values()))


def text(value: pb.Value) -> str:
    """Return a parameter's value as MLflow's clients would have written it: as Python does."""
    kind = value.WhichOneof("kind")
    return "" if kind is None else str(getattr(value, kind))


def _assert_count(kind: str, limit: int, count: int) -> None:
    if count > limit:
        raise MlflowError(
            f"A batch logging request can contain at most {limit} {kind}. Got {count} {kind}. "
            f"Please split up {kind} across multiple requests and try again."
        )


def _assert_length(name: str, limit: int, value: str) -> None:
    if len(value) > limit:
        raise MlflowError(f"'{name}' exceeds the maximum length of {limit} characters")


def _assert_name(name: str, place: str, entity: str) -> None:
    problem = _problem_of(name)
    if problem:
        raise MlflowError(
            f"Invalid value \"{name[:300]}\" for parameter '{place}' supplied: {problem}"
        )
    _assert_length(entity, KEY_CHARS, name)


@lru_cache(maxsize=20_000)
def _problem_of(name: str) -> str:
    if _GOOD_NAME.match(name) is None:
        return (
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), "
            "spaces ( ), colon(:) and slashes (/)."
        )
    plain = posixpath.normpath(name)
    if plain != name or plain == "." or plain.startswith(("..", "/")):
        return (
            "Names may be treated as files in certain cases, and must not resolve to other names "
            f"when treated as such. This name would resolve to {plain!r}"
        )
    return ""
