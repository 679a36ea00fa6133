"""A tree of nodes against the schema: every finding with its place and a way to mend it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Path, Places, Scalar, locate
from epochal_scheduler.spec.schema.lookup import fields_at, without_tags
from epochal_scheduler.spec.suggestions import did_you_mean

# Explaining one costs a search for near names; more than this nobody reads.
MAX_DETAILS = 500

Model = TypeVar("Model", bound=BaseModel)

# Raised by the models themselves, with messages that are sentences already.
_OWN_RULES = frozenset({
    "unsupported_version", "invalid_value", "invalid_space", "invalid_cron", "unknown_timezone",
    "missing_metric", "missing_field", "invalid_duration",
})  # fmt: skip

_EXPECTED: Mapping[str, str] = {
    "string_type": "text; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list; put each item after '- '",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
}


def validate(
    model: type[Model],
    data: JsonValue,
    places: Places,
    *,
    ignore: Callable[[str], bool] = lambda field: False,
    context: dict[str, bool] | None = None,
) -> tuple[Model | None, list[Issue]]:
    """Validates data against a model.

    Args:
        model: the root model.
        data: plain data; has the shape of the tree apart from values.
        places: the tree that knows the places.
        ignore: true for fields that something else has complained of already.
        context: handed to the validators, such as `RENDERED`.

    Returns:
        The model, or None and all issues. With only ignored errors: None and no issues.
    """
    try:
        return model.model_validate(data, context=context), []
    except ValidationError as error:
        issues = []
        for details in error.errors(include_url=False, include_context=True)[:MAX_DETAILS]:
            loc = without_tags(model, details["loc"])
            if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
                loc = (*loc, "kind")
            path = locate(places.root, loc)[1]
            if not ignore(places.field(path)):
                rule, message = _explain(model, details, path)
                issues.append(places.issue(path, rule, message))
        return None, issues


def not_finite(places: Places) -> list[Issue]:
    """Returns an issue for each `.nan` or `.inf` outside of values: JSON has no such numbers."""
    return list(_not_finite(places, places.root, ()))


def _not_finite(places: Places, node: Node, path: Path) -> list[Issue]:
    if isinstance(node, Scalar):
        if not isinstance(node.value, float) or math.isfinite(node.value):
            return []
        message = f"'{node.text}' is not a finite number; for a float input, put it in quotes"
        return [places.issue(path, "not_finite", message)]
    if isinstance(node, MapNode):
        pairs = node.entries.items()
        return [i for key, inner in pairs for i in _not_finite(places, inner, (*path, key))]
    assert isinstance(node, ListNode), "the last kind of node"
    return [
        i for at, inner in enumerate(node.items) for i in _not_finite(places, inner, (*path, at))
    ]


def _explain(model: type[BaseModel], details: ErrorDetails, path: Path) -> tuple[str, str]:
    kind, name = details["type"], _last_name(path)
    if kind == "extra_forbidden":
        hint = did_you_mean(name, fields_at(model, details["loc"][:-1]))
        return "unknown_field", f"there is no field '{name}'; {hint or 'remove it'}"
    if kind == "missing":
        return "missing_field", f"'{name}' is missing; add it"
    if kind in _EXPECTED:
        shown = _shown(details["input"])
        return "wrong_type", f"'{name}' must be {_EXPECTED[kind]}; it is {shown}"
    context = details.get("ctx", {})
    if kind == "literal_error":
        value, expected = details["input"], str(context["expected"])
        known = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
        hint = did_you_mean(str(value), known)
        return "unknown_value", f"'{name}' cannot be {_shown(value)}; {hint or 'use ' + expected}"
    if kind == "string_pattern_mismatch":
        return "invalid_value", f"'{name}' must match {context['pattern']}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _explain_kind(kind, path, context)
    if kind in _OWN_RULES:
        return kind, details["msg"]
    return "invalid_value", f"'{name}': {details['msg'][:1].lower()}{details['msg'][1:]}"


def _last_name(path: Path) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "file")


def _explain_kind(problem: str, path: Path, context: Mapping[str, object]) -> tuple[str, str]:
    name = _last_name(path[:-1])
    if problem == "union_tag_not_found":
        return "missing_field", f"'{name}' needs a 'kind'; add it"
    known = [word.strip("' ") for word in str(context["expected_tags"]).split(",")]
    tag = str(context["tag"])
    hint = did_you_mean(tag, known) or f"known here: {', '.join(known)}"
    return "unknown_kind", f"'{name}' has no kind '{tag}'; {hint}"


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
