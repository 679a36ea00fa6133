"""MLflow's search filters to the syntax tree: mlflow 3.17's keys, comparators and complaints.

    metrics.`val/loss` < 0.1 AND (params.model LIKE 'cnn%' OR NOT attributes.status = 'FAILED')

A comparison with something that a run has not is false, `!=`, NOT IN and NOT LIKE included: so
MLflow has it. NOT, which MLflow has not, turns a comparison round, so `NOT params.x = 'a'` finds
runs without x too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from lark import Token, Tree

from epochal_tracker.search.fields import wrong
from epochal_tracker.search.reading import MAX_CONDITIONS, Parsed, read
from epochal_tracker.search.syntax import (
    FALSE,
    TRUE,
    All,
    Any,
    Compare,
    Field,
    Like,
    Node,
    Not,
    OneOf,
    Order,
    Present,
)

_ENTITIES: Final = {
    "metric": "metric", "metrics": "metric",
    "parameter": "parameter", "parameters": "parameter", "param": "parameter",
    "params": "parameter",
    "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip
_IDENTIFIERS: Final = ["metric", "parameter", "tag", "attribute", "dataset"]
_ALIASES: Final = {
    "created": "start_time", "Created": "start_time",
    "run name": "run_name", "Run name": "run_name", "Run Name": "run_name",
}  # fmt: skip
_TEXTS: Final = ("run_id", "run_name", "status", "user_id", "artifact_uri")
_TIMES: Final = ("start_time", "end_time")
_DATASET_KEYS: Final = ("name", "digest", "context")
_NUMERIC: Final = ("=", "!=", "<", "<=", ">", ">=")
_TEXTUAL: Final = ("=", "!=", "LIKE", "ILIKE")
_FIELDS: Final = {
    "run_name": Field("name"),
    "start_time": Field("begin_time"),
    "end_time": Field("end_time"),
    "user_id": Field("user_id"),
    "artifact_uri": Field("artifact_uri"),
    "run_id": Field("run_hex"),
    "status": Field("status"),
}

#: Our statuses by MLflow's words.
STATUSES: Final[dict[str, tuple[int, ...]]] = {
    "RUNNING": (
        pb.RUN_STATUS_STARTING,
        pb.RUN_STATUS_RUNNING,
        pb.RUN_STATUS_STOPPING,
        pb.RUN_STATUS_RETRYING,
    ),
    "SCHEDULED": (pb.RUN_STATUS_CREATED, pb.RUN_STATUS_QUEUED, pb.RUN_STATUS_SCHEDULED),
    "FINISHED": (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_SKIPPED),
    "FAILED": (pb.RUN_STATUS_FAILED, pb.RUN_STATUS_UPSTREAM_FAILED),
    "KILLED": (pb.RUN_STATUS_STOPPED,),
}


def parse(text: str) -> Node:
    """Read a filter.

    Raises:
        InvalidArgument: says what is wrong in MLflow's words where it has some.
    """
    tree = read("mlflow", text, "clauses KEY COMPARATOR VALUE, such as metrics.acc > 0.9")
    if tree is None:
        return TRUE
    if sum(1 for _ in tree.find_data("key")) > MAX_CONDITIONS:
        raise wrong(f"at most {MAX_CONDITIONS} conditions are read", rule="size")
    return _node(tree)


def parse_order(text: str) -> tuple[Order, ...]:
    """Read order_by clauses, joined by commas; newest first when empty.

    Raises:
        InvalidArgument: a key or a direction is not known.
    """
    orders = []
    for clause in _clauses(text):
        words = re.fullmatch(r"(.*?)(?:\s+(asc|desc))?", clause, re.IGNORECASE | re.DOTALL)
        assert words is not None
        entity, key = _split(words.group(1).strip())
        orders.append(Order(_sortable(entity, key), (words.group(2) or "").lower() == "desc"))
    if len(orders) > 10:
        raise wrong("at most 10 keys are sorted by", "order_by", "size")
    return tuple(orders) or (Order(Field("begin_time"), descending=True),)


def _clauses(text: str) -> Iterable[str]:
    for clause in re.findall(r"(?:\"[^\"]*\"|`[^`]*`|[^,\"`]|[\"`])+", text):
        if clause.strip():
            yield clause.strip()


def _split(text: str) -> tuple[str, str]:
    entity, dot, key = text.partition(".")
    if not dot:
        return "attribute", _bare(text)
    found = _ENTITIES.get(entity.strip("`"))
    if found is None:
        raise _entity(entity, "order_by")
    return found, _bare(key)


def _bare(key: str) -> str:
    """Return a key without its quotes."""
    for quote in ('"', "`"):
        if len(key) >= 2 and key[0] == key[-1] == quote:
            return key[1:-1]
    if re.search(r"\s", key) and key not in _ALIASES:
        raise wrong(f"Invalid order_by clause '{key}': quote keys that hold spaces", "order_by")
    return key


def _sortable(entity: str, key: str) -> Field:
    if not key:
        raise wrong("Invalid order_by clause: a key is missing", "order_by")
    match entity:
        case "metric":
            return Field("metrics", key)
        case "parameter":
            return Field("param_texts", key)
        case "tag":
            return Field("tags", key)
        case "attribute" if _ALIASES.get(key, key) in _FIELDS:
            return _FIELDS[_ALIASES.get(key, key)]
        case "attribute":
            valid = sorted([*_FIELDS, "created", "Created"])
            raise wrong(
                f"Invalid order_by key '{key}' specified. Valid keys are '{valid}'", "order_by"
            )
        case _:
            raise wrong(
                f"Invalid order_by entity type '{entity}': runs are not sorted by it", "order_by"
            )


def _node(tree: Parsed) -> Node:
    parts = [child for child in tree.children if isinstance(child, Tree)]
    match tree.data:
        case "any":
            return Any(tuple(_node(part) for part in parts))
        case "all":
            return All(tuple(_node(part) for part in parts))
        case "negation":
            return Not(_node(parts[0]))
        case "compare" | "not_like" | "one_of" | "none_of" | "is_null" | "is_present":
            return _clause(tree)
        case _:
            return _node(parts[0])


def _clause(tree: Parsed) -> Node:
    key, *rest = (child for child in tree.children if isinstance(child, Tree))
    entity, name = _key(key)
    match tree.data:
        case "is_null" | "is_present":
            return _null(entity, name, present=tree.data == "is_present")
        case "one_of" | "none_of":
            values = [_token(part) for part in rest[0].children if isinstance(part, Tree)]
            return _list(entity, name, values, "IN" if tree.data == "one_of" else "NOT IN")
        case "not_like":
            return _compare(entity, name, "NOT LIKE", _token(rest[0]))
        case _:
            (comparator,) = (child for child in tree.children if isinstance(child, Token))
            return _compare(entity, name, comparator.upper(), _token(rest[0]))


def _token(tree: Parsed) -> Token:
    (token,) = tree.children
    assert isinstance(token, Token)
    return token


def _key(tree: Parsed) -> tuple[str, str]:
    first, *rest = tree.children
    entity = str(first).strip("`")
    if not rest:
        return "attribute", _attribute(entity)
    if entity not in _ENTITIES:
        raise _entity(entity)
    (part,) = rest
    assert isinstance(part, Tree)
    token = _token(part)
    name = str(token) if token.type == "PART" else token[1:-1]
    found = _ENTITIES[entity]
    if found == "attribute":
        return found, _attribute(name)
    if found == "dataset" and name not in _DATASET_KEYS:
        raise wrong(
            f"Invalid dataset key '{name}' specified. Valid keys are '{set(_DATASET_KEYS)}'"
        )
    return found, name


def _entity(entity: str, asked: str = "filter") -> Exception:
    return wrong(f"Invalid entity type '{entity}'. Valid values are {_IDENTIFIERS}", asked)


def _attribute(key: str) -> str:
    found = _ALIASES.get(key, key)
    if found not in _FIELDS:
        valid = sorted([*_FIELDS, *_ALIASES])
        raise wrong(f"Invalid attribute key '{key}' specified. Valid keys are '{valid}'")
    return found


def _field(entity: str, key: str) -> Field:
    match entity:
        case "metric":
            return Field("metrics", key)
        case "parameter":
            return Field("param_texts", key)
        case "tag":
            return Field("tags", key)
        case "dataset":
            return Field(f"dataset_{key}")
        case _:
            return _FIELDS[key]


def _compare(entity: str, key: str, comparator: str, token: Token) -> Node:
    if entity == "metric" or (key in _TIMES and entity == "attribute"):
        if comparator not in _NUMERIC:
            raise _comparator(comparator, _NUMERIC)
        return _numeric(entity, key, comparator, token)
    if comparator not in (*_TEXTUAL, "NOT LIKE"):
        valid = _TEXTUAL if entity in ("parameter", "tag") else (*_TEXTUAL, "IN", "NOT IN")
        raise _comparator(comparator, valid)
    value = _text(entity, token)
    if entity == "attribute" and key == "status":
        return _status(comparator, [value])
    field = _field(entity, key)
    if entity == "attribute" and key == "run_id" and comparator in ("=", "!="):
        return _ids([value], negated=comparator == "!=")
    if "LIKE" in comparator:
        value = value.replace("\\", "\\\\")  # MLflow's patterns have no escape
    match comparator:
        case "=":
            return Compare(field, "=", value)
        case "!=":
            return All((Present(field), Not(Compare(field, "=", value))))
        case "NOT LIKE":
            return All((Present(field), Not(Like(field, value, any_case=False))))
        case _:
            return Like(field, value, any_case=comparator == "ILIKE")


def _numeric(entity: str, key: str, comparator: str, token: Token) -> Node:
    if token.type != "NUMBER":
        if entity == "metric":
            raise wrong(f"Expected numeric value type for metric. Found {token}")
        raise wrong(f"Expected numeric value type for numeric attribute: {key}. Found {token}")
    field, number = _field(entity, key), float(token)
    value: float | datetime = number
    if entity == "attribute":
        try:
            value = datetime.fromtimestamp(number / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            raise wrong(f"{token} is no time in milliseconds since 1970") from None
    if comparator == "!=":
        # NaN differs from every number, and yet compares with none.
        return Any((Compare(field, "<", value), Compare(field, ">", value)))
    return Compare(field, comparator, value)


def _text(entity: str, token: Token) -> str:
    if token.type in ("SINGLE", "DOUBLE"):
        return token[1:-1]
    if entity in ("parameter", "tag"):
        raise wrong(
            f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {token}"
        )
    kind = "dataset attributes" if entity == "dataset" else "attributes"
    raise wrong(f"Expected a quoted string value for {kind}. Got value {token}")


def _list(entity: str, key: str, tokens: list[Token], comparator: str) -> Node:
    if entity == "metric" or (key in _TIMES and entity == "attribute"):
        raise _comparator(comparator, _NUMERIC)
    if not tokens:
        raise wrong("While parsing a list in the query, expected a non-empty list of values")
    values = [_text(entity, token) for token in tokens]
    if entity == "attribute" and key == "run_id":
        return _ids(values, negated=comparator == "NOT IN")
    if entity == "attribute" and key == "status":
        return _status(comparator, values)
    field = _field(entity, key)
    found = OneOf(field, tuple(values))
    return found if comparator == "IN" else All((Present(field), Not(found)))


def _ids(values: list[str], *, negated: bool) -> Node:
    """Find runs by id; what is no id finds nothing."""
    # MLflow writes ids as 32 hex digits, and compares them as text.
    ids = [str(UUID(value)) for value in values if re.fullmatch(r"[0-9a-f]{32}", value)]
    node = OneOf(Field("run_id"), tuple(ids)) if ids else FALSE
    return Not(node) if negated else node


def _status(comparator: str, values: list[str]) -> Node:
    match comparator:
        case "LIKE" | "ILIKE" | "NOT LIKE":
            wanted = re.compile(_regex(values[0]), re.IGNORECASE if comparator == "ILIKE" else 0)
            words = {word for word in STATUSES if wanted.fullmatch(word)}
        case _:
            words = set(values)
    if comparator in ("!=", "NOT IN", "NOT LIKE"):
        words = set(STATUSES) - words
    numbers = [number for word in STATUSES if word in words for number in STATUSES[word]]
    return OneOf(Field("status"), tuple(numbers)) if numbers else FALSE


def _regex(pattern: str) -> str:
    return "".join(
        ".*" if letter == "%" else "." if letter == "_" else re.escape(letter) for letter in pattern
    )


def _null(entity: str, key: str, *, present: bool) -> Node:
    node = Present(_field(entity, key))
    return node if present else Not(node)


def _comparator(comparator: str, valid: Iterable[str]) -> Exception:
    return wrong(f"Invalid comparator '{comparator}' not one of '{sorted(valid)}'")
