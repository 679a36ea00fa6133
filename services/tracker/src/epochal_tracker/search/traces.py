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
from lark import Tree

from epochal_tracker.search.fields import wrong
from epochal_tracker.search.reading import MAX_CONDITIONS, Parsed, read
from epochal_tracker.search.sources import Parameters
from epochal_tracker.search.trace_values import (
    Compared,
    compared_of,
    number_of,
    operator,
    refused,
    text_condition,
    token_of,
)

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
#: All that a span holds, as text; `trace.text` means the same.
_CONTENT: Final = "content"
_TEXT: Final = "text"
_ATTRIBUTES: Final = "attributes."
_COMPARISONS: Final = ("compare", "not_like", "one_of", "none_of", "is_null", "is_present")
_KINDS: Final = {
    "feedback": pb.ASSESSMENT_KIND_FEEDBACK,
    "expectation": pb.ASSESSMENT_KIND_EXPECTATION,
}
_ORDERS: Final = {
    **_NUMBERS,
    **{key: _TEXTS[key] for key in ("request_id", "status", "name")},
    # Experiments are apart, in an order of their own.
    "experiment_id": "t.project",
    "run_id": "(t.metadata ->> 'mlflow.sourceRun')",
}
_NUMERIC: Final = ("=", "!=", "<", "<=", ">", ">=")
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
            return _all(parts, parameters)
        case "negation":
            return f"({_node(parts[0], parameters)}) IS NOT TRUE"
        case kind if kind in _COMPARISONS:
            return _clause(tree, parameters)
        case _:
            return _node(parts[0], parameters)


def _all(parts: list[Parsed], parameters: Parameters) -> str:
    """Conditions that hold together; those of spans hold of one span, as in MLflow."""
    found: list[str] = []
    of_spans: list[str] = []
    for part in parts:
        leaf = _leaf(part)
        span = _of_span(leaf, parameters) if leaf is not None else ""
        if span:
            of_spans.append(span)
        else:
            found.append(_node(part, parameters))
    if of_spans:
        found.append(_some_span(of_spans))
    return f"({' AND '.join(found)})"


def _leaf(tree: Parsed) -> Parsed | None:
    """Return the one comparison that a part is, None when it is more than that."""
    while tree.data not in _COMPARISONS:
        parts = [child for child in tree.children if isinstance(child, Tree)]
        if tree.data in ("any", "all", "negation") or len(parts) != 1:
            return None
        tree = parts[0]
    return tree


def _of_span(tree: Parsed, parameters: Parameters) -> str:
    """Return a comparison of a span's as a condition on it; empty when it is another's."""
    key, *rest = (child for child in tree.children if isinstance(child, Tree))
    entity, name = _key(key)
    if entity == "attribute" and name == _TEXT:
        entity, name = "span", _CONTENT
    return (
        _span(name, compared_of(str(tree.data), tree, rest), parameters) if entity == "span" else ""
    )


def _some_span(conditions: list[str]) -> str:
    return (
        "EXISTS (SELECT 1 FROM tracker.span s WHERE s.project = t.project "
        f"AND s.trace_id = t.trace_id AND {' AND '.join(conditions)})"
    )


def _clause(tree: Parsed, parameters: Parameters) -> str:
    span = _of_span(tree, parameters)
    if span:
        return _some_span([span])
    key, *rest = (child for child in tree.children if isinstance(child, Tree))
    entity, name = _key(key)
    compared = compared_of(str(tree.data), tree, rest)
    match entity:
        case "tag":
            return text_condition(
                f"(t.tags ->> {parameters.add(name)}::text)", compared, parameters
            )
        case "metadata":
            # The run may be one that the trace was linked to later.
            if name == "mlflow.sourceRun" and compared.comparator == "=":
                return _run(compared, parameters)
            return text_condition(
                f"(t.metadata ->> {parameters.add(name)}::text)", compared, parameters
            )
        case "feedback" | "expectation":
            return _assessed(_KINDS[entity], name, compared, parameters)
        case _ if name == "run_id":
            return _run(compared, parameters)
        case _ if name in _NUMBERS:
            return _number(_NUMBERS[name], compared, parameters)
        case _:
            return text_condition(_TEXTS[name], compared, parameters)


def _key(tree: Parsed) -> tuple[str, str]:
    first, *rest = tree.children
    entity = str(first).strip("`")
    if not rest:
        return "attribute", _attribute(entity)
    if entity not in _ENTITIES:
        raise wrong(f"Invalid entity type '{entity}'. Valid values are {sorted(_ENTITIES)}")
    (part,) = rest
    assert isinstance(part, Tree), "a key's second half is a rule"
    token = token_of(part)
    name = str(token) if token.type == "PART" else token[1:-1]
    found = _ENTITIES[entity]
    return found, _attribute(name) if found == "attribute" else name


def _attribute(key: str) -> str:
    found = _ALIASES.get(key, key)
    if found not in ("run_id", _TEXT) and found not in _NUMBERS and found not in _TEXTS:
        valid = sorted([*_NUMBERS, *_TEXTS, *_ALIASES, "run_id", _TEXT])
        raise wrong(f"Invalid attribute key '{key}' specified. Valid keys are '{valid}'")
    return found


def _number(column: str, compared: Compared, parameters: Parameters) -> str:
    if compared.comparator not in _NUMERIC:
        raise refused(compared.comparator, _NUMERIC)
    return f"{column} {operator(compared.comparator)} {number_of(compared, parameters)}"


def _run(compared: Compared, parameters: Parameters) -> str:
    if compared.comparator not in ("=", "IN"):
        return text_condition("(t.metadata ->> 'mlflow.sourceRun')", compared, parameters)
    wanted = parameters.add([text.replace("-", "") for text in compared.texts()])
    return f"EXISTS (SELECT 1 FROM {_RUN} r (run_id) WHERE r.run_id = ANY({wanted}::text[]))"


def _span(name: str, compared: Compared, parameters: Parameters) -> str:
    """A condition on a span: its columns, its attributes, or all that it holds."""
    if name == _CONTENT:
        if compared.comparator not in ("LIKE", "ILIKE"):
            raise refused(compared.comparator, ("LIKE", "ILIKE"))
        return text_condition("s.content::text", compared, parameters)
    if name.startswith(_ATTRIBUTES):
        attribute = name.removeprefix(_ATTRIBUTES).strip("`")
        if not attribute:
            raise wrong("Span attribute name cannot be empty after 'attributes.'")
        value = f"(s.content -> 'attributes' ->> {parameters.add(attribute)}::text)"
        return text_condition(value, compared, parameters)
    column = _SPAN_COLUMNS.get(name)
    if column is None:
        raise wrong(
            f"Invalid span attribute '{name}'. Supported attributes: "
            f"{', '.join(sorted(_SPAN_COLUMNS))}, {_CONTENT}, attributes.<attribute_name>."
        )
    return text_condition(column, compared, parameters)


def _assessed(kind: int, name: str, compared: Compared, parameters: Parameters) -> str:
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
            return f"{found} AND {number} {comparator} {number_of(compared, parameters)})"
        case _:
            return f"{found} AND {text_condition('a.value', compared, parameters)})"
