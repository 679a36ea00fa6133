"""The registry's filters, in MLflow's grammar: what is read, and what is refused, and where."""

from __future__ import annotations

import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_lineage.searching import vocabularies
from epochal_lineage.searching.clauses import Clause, Kind, SortKey, parse, parse_order
from hypothesis import given
from hypothesis import strategies as st

MODELS, LOGGED = vocabularies.MODELS, vocabularies.LOGGED_MODELS


def test_comparisons_are_joined_by_and() -> None:
    assert parse("name LIKE 'dig%' AND tags.team != \"x\"", MODELS) == [
        Clause("", "name", Kind.TEXT, "LIKE", ("dig%",)),
        Clause("tags", "team", Kind.TEXT, "!=", ("x",)),
    ]
    assert parse("", MODELS) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tags.`odd name` = 'a'", "odd name"),
        ("tags.\"val/loss\" = 'a'", "val/loss"),
        ("tag.mlflow.source.type = 'a'", "mlflow.source.type"),
        ("tags.a-b='a'", "a-b"),
    ],
)
def test_odd_names_are_quoted(text: str, name: str) -> None:
    (clause,) = parse(text, MODELS)
    assert (clause.group, clause.name) == ("tags", name)


def test_numbers_lists_and_escapes() -> None:
    (number,) = parse("metrics.acc >= -1.5e3", LOGGED)
    assert (number.comparator, number.values) == (">=", (-1500.0,))
    (several,) = parse("name not  in ('a', \"b\")", LOGGED)
    assert (several.comparator, several.values) == ("NOT IN", ("a", "b"))
    (quoted,) = parse("attributes.name = 'it''s'", LOGGED)
    assert quoted.values == ("it's",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'a' OR name = 'b'", "expected AND"),
        ("nome = 'a'", "unknown field 'nome'"),
        ("params.x = 'a'", "unknown field"),
        ("name > 'a'", "use one of"),
        ("name = 3", "quoted text"),
        ("creation_timestamp = 'a'", "a number"),
        ("name IN 'a'", "expected a list"),
        ("name IN ('a' 'b')", "expected a comma"),
        ("name = ", "expected a quoted text"),
        ("name", "expected one of"),
        ("= 'a'", "expected a field"),
        ("name = 'a' AND", "expected a field"),
    ],
)
def test_what_is_wrong_is_said_and_where(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        parse(text, MODELS)
    assert [violation.field for violation in caught.value.violations] == ["filter"]
    assert "at character" in caught.value.message


def test_orders() -> None:
    assert parse_order("name, last_updated_timestamp DESC", MODELS) == [
        SortKey("", "name", Kind.TEXT, False),
        SortKey("", "last_updated_timestamp", Kind.NUMBER, True),
    ]
    for text in ("nome", "name UP", "name = 'a'"):
        with pytest.raises(InvalidArgument, match="cannot sort by"):
            parse_order(text, MODELS)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse, parse_order):
        try:
            read(text, LOGGED)
        except InvalidArgument:
            continue
