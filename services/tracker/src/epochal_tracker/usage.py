"""Tokens and costs that spans tell of, and their sums over a trace.

Source: MLflow 3.17, mlflow/tracing/constant.py (keys), mlflow/tracing/otel/translation (the names
that other exporters have for tokens) and mlflow/tracing/utils (the sums). Prices are not looked up:
a cost is one that the application told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

TOKENS: Final = ("input_tokens", "output_tokens", "total_tokens")
CACHED: Final = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COSTS: Final = ("input_cost", "output_cost", "total_cost")

_USAGE: Final = "mlflow.chat.tokenUsage"
_COST: Final = "mlflow.llm.cost"
#: What exporters call tokens: in, out, in all, read from a cache, written to one. The first that
#: says anything counts, in MLflow's order.
_CONVENTIONS: Final[tuple[tuple[str, ...], ...]] = (
    # OpenInference
    ("llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total",
     "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_write"),
    # OpenTelemetry's GenAI conventions, by their newer name for caches and by the older
    ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "",
     "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    # Traceloop
    ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "llm.usage.total_tokens",
     "", ""),
    # VoltAgent
    ("usage.prompt_tokens", "usage.completion_tokens", "usage.total_tokens", "", ""),
    ("llm.usage.prompt_tokens", "llm.usage.completion_tokens", "llm.usage.total_tokens", "", ""),
    # The Vercel AI SDK
    ("ai.usage.promptTokens", "ai.usage.completionTokens", "", "", ""),
)  # fmt: skip
_OLDER_CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"

Amounts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Node:
    """A span in its trace, and what it tells of tokens or costs."""

    span_id: str
    parent_id: str
    amounts: Amounts | None


def tokens_of(attributes: Mapping[str, str]) -> dict[str, float]:
    """Return the tokens that a span's attributes tell of; nothing when they tell of none."""
    if _USAGE in attributes:
        return _amounts(attributes[_USAGE], (*TOKENS, *CACHED))
    for convention in _CONVENTIONS:
        found = {
            name: amount
            for name, key in zip((*TOKENS, *CACHED[:2]), convention, strict=True)
            if key and (amount := _number(attributes.get(key))) is not None
        }
        if not any(name in found for name in TOKENS):
            continue
        if "total_tokens" not in found and {"input_tokens", "output_tokens"} <= found.keys():
            found["total_tokens"] = found["input_tokens"] + found["output_tokens"]
        older = _number(attributes.get(_OLDER_CACHE_WRITE))
        if older is not None and convention[0] == "gen_ai.usage.input_tokens":
            found.setdefault("cache_creation_input_tokens", older)
        return found
    return {}


def cost_of(attributes: Mapping[str, str]) -> dict[str, float]:
    """Return the cost that a span's attributes tell of; nothing when they tell of none."""
    return _amounts(attributes.get(_COST, ""), COSTS)


def summed(nodes: Iterable[Node], always: Sequence[str], others: Sequence[str] = ()) -> str:
    """Return the sum over a trace as JSON; empty when no span tells of any.

    A span whose ancestor tells of amounts is left out: some libraries sum up on the parent.

    Args:
        nodes: spans of one trace.
        always: names that the sum has, 0 if need be.
        others: names that it has when a span does.
    """
    found = {node.span_id: node for node in nodes}
    covered: dict[str, bool] = {}
    totals: dict[str, float] = {}
    for node in found.values():
        if not node.amounts or _is_covered(node, found, covered):
            continue
        totals = totals or dict.fromkeys(always, 0)
        for name in (*always, *others):
            if name in node.amounts:
                totals[name] = totals.get(name, 0) + node.amounts[name]
    return json.dumps(totals) if totals else ""


def _is_covered(node: Node, found: Mapping[str, Node], covered: dict[str, bool]) -> bool:
    """Whether an ancestor tells of amounts; what is learnt on the way is kept in `covered`."""
    path: list[str] = []
    place: Node | None = node
    answer = False
    while place is not None and place.span_id not in path:
        if place.span_id in covered:
            answer = covered[place.span_id]
            break
        path.append(place.span_id)
        parent = found.get(place.parent_id)
        if parent is not None and parent.amounts:
            answer = True
            break
        place = parent
    # Along the way no span but the first has amounts, so the answer is one for all.
    covered.update(dict.fromkeys(path, answer))
    return answer


def _amounts(text: str, names: Sequence[str]) -> dict[str, float]:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {name: amount for name in names if (amount := _number(told.get(name))) is not None}


def _number(value: object) -> float | None:
    """Return an amount; a whole number stays one, and what is none is None."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
