"""Tokens and costs of spans, and their sums over trees that arrive in any order."""

from __future__ import annotations

import json

from epochal_tracker.usage import CACHED, COSTS, TOKENS, Node, cost_of, summed, tokens_of
from hypothesis import given
from hypothesis import strategies as st


def test_what_mlflow_tells_counts_before_any_convention() -> None:
    told = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "words": 4}
    attributes = {"mlflow.chat.tokenUsage": json.dumps(told), "gen_ai.usage.input_tokens": "7"}
    assert tokens_of(attributes) == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def test_tokens_go_by_many_names() -> None:
    for attributes, wanted in (
        ({"gen_ai.usage.input_tokens": "1", "gen_ai.usage.output_tokens": "2"}, (1, 2, 3)),
        ({"gen_ai.usage.prompt_tokens": "1", "llm.usage.total_tokens": "9"}, (1, None, 9)),
        ({"llm.token_count.prompt": "1", "llm.token_count.completion": "4"}, (1, 4, 5)),
        ({"ai.usage.promptTokens": "1", "ai.usage.completionTokens": "1"}, (1, 1, 2)),
        ({"usage.total_tokens": "5"}, (None, None, 5)),
    ):
        found = tokens_of(attributes)
        assert tuple(found.get(name) for name in TOKENS) == wanted, attributes


def test_tokens_of_caches_are_told_beside() -> None:
    attributes = {
        "gen_ai.usage.input_tokens": "10",
        "gen_ai.usage.cache_read.input_tokens": "4",
        "gen_ai.usage.cache_creation.input_tokens": "2",
    }
    assert tokens_of(attributes) == {
        "input_tokens": 10,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 2,
    }


def test_what_is_no_amount_is_none() -> None:
    for text in ("", "x", "[]", "true", '{"input_tokens": "many"}', '{"input_tokens": NaN}'):
        assert tokens_of({"mlflow.chat.tokenUsage": text}) == {}
        assert tokens_of({"gen_ai.usage.input_tokens": text}) == {}
        assert cost_of({"mlflow.llm.cost": text}) == {}
    assert cost_of({}) == {}


def naive(nodes: list[Node]) -> dict[str, float]:
    """The sum of those without an ancestor that tells, each walked to its root."""
    found = {node.span_id: node for node in nodes}
    total: dict[str, float] = {}
    for node in nodes:
        above, seen = found.get(node.parent_id), {node.span_id}
        while above is not None and not above.amounts and above.span_id not in seen:
            seen.add(above.span_id)
            above = found.get(above.parent_id)
        covered = above is not None and bool(above.amounts)
        if node.amounts and not covered:
            for name, amount in node.amounts.items():
                total[name] = total.get(name, 0) + amount
    return total


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(1, 12))
    nodes = [
        Node(
            str(place),
            str(draw(st.integers(-1, place - 1))) if place else "",
            draw(st.none() | st.fixed_dictionaries({"total_tokens": st.integers(0, 9)})),
        )
        for place in range(count)
    ]
    return draw(st.permutations(nodes))


@given(trees())
def test_a_sum_leaves_out_what_an_ancestor_has_summed(nodes: list[Node]) -> None:
    found = summed(nodes, ["total_tokens"], CACHED)
    assert (json.loads(found) if found else {}) == naive(nodes)


def test_spans_that_are_their_own_ancestors_end_the_walk() -> None:
    nodes = [Node("a", "b", None), Node("b", "a", None), Node("c", "a", {"total_cost": 1.5})]
    assert json.loads(summed(nodes, COSTS)) == {
        "input_cost": 0, "output_cost": 0, "total_cost": 1.5
    }  # fmt: skip
