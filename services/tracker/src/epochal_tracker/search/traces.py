"""MLflow's trace filters to SQL over trace `t`: mlflow 3.17's keys, comparators and complaints.

    status = 'OK' AND tags.team LIKE 'v%' AND span.name = 'retrieve' AND feedback.correct = 'true'

The grammar is that of runs, so OR, NOT and groups are read too. A comparison with what a trace has
not is false, `!=` included. Every value is a parameter; columns come from here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

import epochal_proto.v1 as pb
from lark import Token, Tree

from epochal_tracker.search.fields import wrong
from epochal_tracker.search.reading import MAX_CONDITIONS, Parsed, read, unquoted
from epochal_tracker.search.sources import Parameters

_ENTITIES: Final = {
    "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "trace": "attribute",
    "request_metadata": "metadata", "metadata": "metadata",
    "span": "span", "feedback": "feedback", "expectation": "expectation",
}  # fmt: skip
_ALIASES: Final = {
    "timestamp": "timestamp_ms",
    "execution_time": "execution_time_ms",
    "end_time": "end_time_ms",
    "trace_id": "request_id",
}
_STATE: Final = (
    f"(CASE t.state WHEN {pb.TRACE_STATE_OK} THEN 'OK' WHEN {pb.TRACE_STATE_ERROR} THEN 'ERROR' "
    f"WHEN {pb.TRACE_STATE_IN_PROGRESS} THEN 'IN_PROGRESS' ELSE 'TRACE_STATUS_UNSPECIFIED' END)"
)
_NUMBERS: Final = {
    "timestamp_ms": "(t.time_us / 1000)::float8",
    "execution_time_ms": "(t.duration_us / 1000)::float8",
    "end_time_ms": "((t.time_us + t.duration_us) / 1000)::float8",
}
_TEXTS: Final = {
    "request_id": "t.trace_id",
    "status": _STATE,
    "client_request_id": "nullif(t.client_request_id, '')",
    "name": "(t.tags ->> 'mlflow.traceName')",
    "prompt": "(t.tags ->> 'mlflow.linkedPrompts')",
}
#: Where the run is that a trace was made in, or is linked to.
_RUN: Final = (
    "(SELECT t.metadata ->> 'mlflow.sourceRun' UNION ALL "
    "SELECT l.run_id FROM trace_run l WHERE l.trace = t.name)"
)
_SPAN_COLUMNS: Final = {"name": "s.name", "type": "s.type", "status": "s.status"}
_KINDS: Final = {
    "feedback": pb.ASSESSMENT_KIND_FEEDBACK,
    "expectation": pb.ASSESSMENT_KIND_EXPECTATION,
}
_ORDERS: Final = {**_NUMBERS, **{key: _TEXTS[key] for key in ("request_id", "status", "name")}}
_NUMERIC: Final = ("=", "!=", "<", "<=", ">", ">=")
_TEXTUAL: Final = ("=", "!=", "LIKE", "ILIKE", "RLIKE")
_MOST_KEYS: Final = 10


@dataclass(frozen=True, slots=True)
class Key:
    """What is sorted by: SQL, whether a number, which way."""

    sql: str
    number: bool
    descending: bool


def parse_order(text: str) -> tuple[Key, ...]:
    """Read order_by clauses, joined by commas; the newest first, and ids tell equals apart.

    Raises:
        InvalidArgument: a key is not known.
    """
    keys: list[Key] = []
    for clause in filter(None, (part.strip() for part in text.split(","))):
        words = re.fullmatch(r"(.*?)(?:\s+(asc|desc))?", clause, re.IGNORECASE | re.DOTALL)
        assert words is not None, "the pattern fits anything"
        name = re.sub(r"^(attributes?|attr|trace)\.", "", words.group(1).strip().strip('`"'))
        name = _ALIASES.get(name, name)
        if name not in _ORDERS:
            raise wrong(
                f"Invalid order_by key '{name}' specified. Valid keys are '{sorted(_ORDERS)}'",
                "order_by",
            )
        descending = (words.group(2) or "").lower() == "desc"
        keys.append(Key(_ORDERS[name], name in _NUMBERS, descending))
    if len(keys) > _MOST_KEYS:
        raise wrong(f"at most {_MOST_KEYS} keys are sorted by", "order_by", "size")
    if not any(key.sql == _NUMBERS["timestamp_ms"] for key in keys):
        keys.append(Key("t.time_us::float8", number=True, descending=True))
    return (*keys, Key("t.name", number=False, descending=False))


def condition(text: str, parameters: Parameters) -> str:
    """Return a filter as SQL.

    Raises:
        InvalidArgument: says what is wrong, in MLflow's words where it has some.
    """
    tree = read("mlflow", text, "clauses KEY COMPARATOR VALUE, such as status = 'OK'")
    if tree is None:
        return "true"
    if sum(1 for _ in tree.find_data("key")) > MAX_CONDITIONS:
        raise wrong(f"at most {MAX_CONDITIONS} conditions are read", rule="size")
    return _node(tree, parameters)


def _node(tree: Parsed, parameters: Parameters) -> str:
    parts = [child for child in tree.children if isinstance(child, Tree)]
    match tree.data:
        case "any":
            return f"({' OR '.join(_node(part, parameters) for part in parts)})"
        case "all":
            return f"({' AND '.join(_node(part, parameters) for part in parts)})"
        case "negation":
            return f"({_node(parts[0], parameters)}) IS NOT TRUE"
        case "compare" | "not_like" | "one_of" | "none_of" | "is_null" | "is_present":
            return _clause(tree, parameters)
        case _:
            return _node(parts[0], parameters)


def _clause(tree: Parsed, parameters: Parameters) -> str:
    key, *rest = (child for child in tree.children if isinstance(child, Tree))
    entity, name = _key(key)
    compared = _compared(str(tree.data), tree, rest)
    match entity:
        case "tag":
            return _one(f"(t.tags ->> {parameters.add(name)}::text)", compared, parameters)
        case "metadata":
            # The run may be one that the trace was linked to later.
            if name == "mlflow.sourceRun" and compared.comparator == "=":
                return _run(compared, parameters)
            return _one(f"(t.metadata ->> {parameters.add(name)}::text)", compared, parameters)
        case "span":
            return _span(name, compared, parameters)
        case "feedback" | "expectation":
            return _assessed(_KINDS[entity], name, compared, parameters)
        case _ if name == "run_id":
            return _run(compared, parameters)
        case _ if name in _NUMBERS:
            return _number(_NUMBERS[name], compared, parameters)
        case _:
            return _one(_TEXTS[name], compared, parameters)


@dataclass(frozen=True, slots=True)
class _Compared:
    """A comparator, and the values as they were written."""

    comparator: str
    values: tuple[Token, ...]

    def texts(self) -> list[str]:
        """Return the values, which must be quoted.

        Raises:
            InvalidArgument: one is not.
        """
        for token in self.values:
            if token.type not in ("SINGLE", "DOUBLE"):
                raise wrong(
                    "Expected a quoted string value for string attribute. Got value "
                    f"{str(token)[:200]}"
                )
        return [
            unquoted(token) if token.type == "DOUBLE" else token[1:-1].replace("''", "'")
            for token in self.values
        ]


def _compared(kind: str, tree: Parsed, rest: list[Parsed]) -> _Compared:
    match kind:
        case "is_null":
            return _Compared("IS NULL", ())
        case "is_present":
            return _Compared("IS NOT NULL", ())
        case "one_of" | "none_of":
            tokens = tuple(_token(part) for part in rest[0].children if isinstance(part, Tree))
            return _Compared("IN" if kind == "one_of" else "NOT IN", tokens)
        case "not_like":
            return _Compared("NOT LIKE", (_token(rest[0]),))
        case _:
            (comparator,) = (child for child in tree.children if isinstance(child, Token))
            return _Compared(comparator.upper(), (_token(rest[0]),))


def _token(tree: Parsed) -> Token:
    (token,) = tree.children
    assert isinstance(token, Token), "a value is one token"
    return token


def _key(tree: Parsed) -> tuple[str, str]:
    first, *rest = tree.children
    entity = str(first).strip("`")
    if not rest:
        return "attribute", _attribute(entity)
    if entity not in _ENTITIES:
        raise wrong(f"Invalid entity type '{entity}'. Valid values are {sorted(_ENTITIES)}")
    (part,) = rest
    assert isinstance(part, Tree), "a key's second half is a rule"
    token = _token(part)
    name = str(token) if token.type == "PART" else token[1:-1]
    found = _ENTITIES[entity]
    return found, _attribute(name) if found == "attribute" else name


def _attribute(key: str) -> str:
    found = _ALIASES.get(key, key)
    if found != "run_id" and found not in _NUMBERS and found not in _TEXTS:
        valid = sorted([*_NUMBERS, *_TEXTS, *_ALIASES, "run_id"])
        raise wrong(f"Invalid attribute key '{key}' specified. Valid keys are '{valid}'")
    return found


def _number(column: str, compared: _Compared, parameters: Parameters) -> str:
    if compared.comparator not in _NUMERIC:
        raise _comparator(compared.comparator, _NUMERIC)
    return f"{column} {_operator(compared.comparator)} {_float(compared, parameters)}"


def _float(compared: _Compared, parameters: Parameters) -> str:
    (token,) = compared.values
    if token.type != "NUMBER":
        raise wrong(f"Expected a numeric value. Got value {str(token)[:200]}")
    return f"{parameters.add(float(token))}::float8"


def _one(column: str, compared: _Compared, parameters: Parameters) -> str:
    """A comparison of a text that may be missing."""
    comparator = compared.comparator
    match comparator:
        case "IS NULL" | "IS NOT NULL":
            return f"{column} {comparator}"
        case "IN":
            return f"{column} = ANY({parameters.add(compared.texts())}::text[])"
        case "NOT IN":
            return f"{column} <> ALL({parameters.add(compared.texts())}::text[])"
        case "RLIKE":
            return f"{column} ~ {parameters.add(_pattern(compared.texts()[0]))}::text"
        case _ if comparator in (*_TEXTUAL, "NOT LIKE"):
            value = parameters.add(compared.texts()[0])
            return f"{column} {_operator(comparator)} {value}::text"
        case _:
            raise _comparator(comparator, _TEXTUAL)


def _pattern(pattern: str) -> str:
    """Return a regular expression that means the same in Python and in PostgreSQL."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise wrong(f"Invalid regular expression {pattern[:200]!r}: {error}") from None
    if "(?" in pattern or re.search(r"\\[^.\\^$*+?()\[\]{}|/\-dswDSW]", pattern):
        raise wrong(
            f"Invalid regular expression {pattern[:200]!r}: no groups with '(?', and no escapes "
            "but those of signs and \\d \\s \\w"
        )
    return pattern


def _run(compared: _Compared, parameters: Parameters) -> str:
    if compared.comparator not in ("=", "IN"):
        return _one("(t.metadata ->> 'mlflow.sourceRun')", compared, parameters)
    wanted = parameters.add([text.replace("-", "") for text in compared.texts()])
    return f"EXISTS (SELECT 1 FROM {_RUN} r (run_id) WHERE r.run_id = ANY({wanted}::text[]))"


def _span(name: str, compared: _Compared, parameters: Parameters) -> str:
    column = _SPAN_COLUMNS.get(name)
    if column is None:
        raise wrong(
            f"Invalid span attribute '{name}'. Supported attributes: "
            f"{', '.join(sorted(_SPAN_COLUMNS))}: what spans hold is not searched here."
        )
    return (
        "EXISTS (SELECT 1 FROM tracker.span s WHERE s.project = t.project "
        f"AND s.trace_id = t.trace_id AND {_one(column, compared, parameters)})"
    )


def _assessed(kind: int, name: str, compared: _Compared, parameters: Parameters) -> str:
    found = (
        "EXISTS (SELECT 1 FROM trace_assessment a WHERE a.trace = t.name "
        f"AND a.kind = {kind} AND a.assessment_name = {parameters.add(name)}::text"
    )
    match compared.comparator:
        case "IS NOT NULL":
            return f"{found})"
        case "IS NULL":
            return f"NOT {found})"
        case "=" | "!=" as comparator:
            (token,) = compared.values
            text = compared.texts()[0] if token.type in ("SINGLE", "DOUBLE") else str(token)
            # As it is in JSON: true and 5 are themselves, a text is in quotes.
            wanted = parameters.add([text, json.dumps(text)])
            equal = f"a.value = ANY({wanted}::text[])"
            return f"{found} AND {equal if comparator == '=' else f'NOT {equal}'})"
        case "<" | "<=" | ">" | ">=" as comparator:
            number = (
                "CASE WHEN a.value ~ '^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$' "
                "THEN a.value::float8 END"
            )
            return f"{found} AND {number} {comparator} {_float(compared, parameters)})"
        case _:
            return f"{found} AND {_one('a.value', compared, parameters)})"


def _operator(comparator: str) -> str:
    return "<>" if comparator == "!=" else comparator


def _comparator(comparator: str, valid: tuple[str, ...]) -> Exception:
    return wrong(f"Invalid comparator '{comparator}' not one of '{sorted(valid)}'")
