"""Epochal's grammar: what it reads, what it refuses and in which words, and tokens of its pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.paging import pack
from epochal_tracker.search import epochal
from epochal_tracker.search.ordering import keys_of, place_of
from epochal_tracker.search.syntax import (
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
from epochal_tracker.services.finding import Wanted, _place, scope_of
from hypothesis import given, settings
from hypothesis import strategies as st
from search_world import NOW, PROJECT


def refusal(read: Callable[[], object]) -> InvalidArgument | None:
    try:
        read()
    except InvalidArgument as error:
        return error
    return None


RUNNING = OneOf(Field("status"), (pb.RUN_STATUS_RUNNING,))
LOSS = Field("metrics", "loss")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TRUE),
        ("  ", TRUE),
        ("status:running", RUNNING),
        ("STATUS:running", None),
        (
            "status:running|failed",
            OneOf(Field("status"), (pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_FAILED)),
        ),
        ("metrics.val/loss:<0.1", Compare(Field("metrics", "val/loss"), "<", 0.1)),
        ("metrics.val-loss:<0.1", Compare(Field("metrics", "val-loss"), "<", 0.1)),
        ("metrics.a.b:1", Compare(Field("metrics", "a.b"), "=", 1.0)),
        ("name:~%digits", Not(Like(Field("name"), "%digits%", True))),
        ("name:%digits%", Like(Field("name"), "%digits%", True)),
        ("name:digits%", Like(Field("name"), "digits%", True)),
        ("name:%a_b%", Like(Field("name"), "%a\\_b%", True)),
        (
            'params."a:b" : >= 3 , tags.x: y z',
            All(
                (
                    Compare(Field("params", "a:b"), ">=", 3.0),
                    Compare(Field("tags", "x"), "=", "y z"),
                )
            ),
        ),
        ('name:"a,b|c\\"d"', Compare(Field("name"), "=", 'a,b|c"d')),
        ('name:"hello (world)"', Compare(Field("name"), "=", "hello (world)")),
        ("name:rock and roll", Compare(Field("name"), "=", "rock and roll")),
        ('name:"nil"', Compare(Field("name"), "=", "nil")),
        ('name:"%x%"', Compare(Field("name"), "=", "%x%")),
        ("end_time:nil", Not(Present(Field("end_time")))),
        ("tags:fast", Compare(Field("tag"), "=", "fast")),
        ("metrics.loss:0..1", All((Compare(LOSS, ">=", 0.0), Compare(LOSS, "<=", 1.0)))),
        (
            "status:running OR status:running, metrics.loss:<1",
            Any((RUNNING, All((RUNNING, Compare(LOSS, "<", 1.0))))),
        ),
        ("NOT status:running", Not(RUNNING)),
        ("last(metrics.loss):<1", Compare(LOSS, "<", 1.0)),
        ("best(metrics.loss):<1", Compare(Field("metrics", "loss", "min"), "<", 1.0)),
        ("best(metrics.loss):>=1", Compare(Field("metrics", "loss", "max"), ">=", 1.0)),
        ('best(metrics."a b"):>1', Compare(Field("metrics", "a b", "max"), ">", 1.0)),
        ("created_at:>now-7d", Compare(Field("create_time"), ">", NOW - timedelta(days=7))),
        (
            "created:<=2030-01-02",
            Compare(Field("create_time"), "<", datetime(2030, 1, 3, tzinfo=UTC)),
        ),
    ],
)
def test_the_grammar_reads(text: str, expected: Node | None) -> None:
    if expected is None:
        with pytest.raises(InvalidArgument):
            epochal.parse(text, NOW)
    else:
        assert epochal.parse(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("status", "expected conditions FIELD:VALUE"),
        ("status:", "at the end of"),
        ("status:a|", "at the end of"),
        ("status:running,", "at the end of"),
        ("staus:running", "unknown field 'staus': did you mean 'status'"),
        ("metrics:1", "unknown field 'metrics': name one of them: metrics.NAME"),
        ("name.x:1", "unknown field 'name.x'"),
        ("zzz:1", "use run_id, name"),
        ('name:"open', "character 6 of"),
        ("name:hello (world)", "quote names and values that hold it"),
        (":x", "at character 1 of"),
        ("(status:running", "at the end of"),
        ("metrics.loss:fast", "takes a number"),
        ("metrics.loss:<nan", "takes a number"),
        ("metrics.loss:%1", "only text can contain text"),
        ("params.lr:<fast", "takes a number"),
        ("status:<running", "no operator"),
        ("status:asleep", "one of created, queued"),
        ("status:unspecified", "one of created"),
        ("create_time:>soon", "takes a time such as"),
        ('create_time:>"0001-01-01T00:00:00+14:00"', "takes a time"),
        ("create_time:>now-999999y", "takes a time"),
        ("create_time:%2026", "only text"),
        ("pipeline:mine", "a run's name or UUID"),
        ("origin:<x", "no operator"),
        ("iteration:one", "a whole number"),
        ("iteration:99999999999999999999", "a whole number"),
        ("paused:maybe", "true or false"),
        ("mean(metrics.loss):1", "unknown aggregate 'mean': use last, min, max, count, best"),
        ("min(params.lr):1", "takes a metric"),
        ("best(metrics.loss):1", "which is better shows in the direction"),
        ("best(metrics.loss):0..1", "say min or max"),
        ("(" * 101 + "name:a" + ")" * 101, "at most 100 groups"),
        (", ".join(["name:a"] * 501), "at most 500 conditions"),
    ],
)
def test_the_grammar_refuses_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(says)) as caught:
        epochal.parse(text, NOW)
    assert [one.field for one in caught.value.violations] == ["filter"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (Order(Field("create_time"), True),)),
        ("name", (Order(Field("name"), False),)),
        ("metrics.val/loss desc", (Order(Field("metrics", "val/loss"), True),)),
        ('tags."a b" asc', (Order(Field("tags", "a b"), False),)),
        (
            "-metrics.acc, created_at",
            (Order(Field("metrics", "acc"), True), Order(Field("create_time"), False)),
        ),
        ("best(metrics.acc) desc", (Order(Field("metrics", "acc", "max"), True),)),
        ("best(metrics.acc)", (Order(Field("metrics", "acc", "min"), False),)),
        ("name up", None),
        ("nam", None),
        ("tags", None),
        ("artifact", None),
        (",".join(["name"] * 11), None),
    ],
)
def test_an_order_is_read(text: str, expected: tuple[Order, ...] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidArgument) as caught:
            epochal.parse_order(text)
        assert [one.field for one in caught.value.violations] == ["order_by"]
    else:
        assert epochal.parse_order(text) == expected


@given(st.text(min_size=1, max_size=8), st.text(max_size=8))
def test_any_name_and_value_can_be_quoted(key: str, value: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = f"tags.{quoted(key)}:{quoted(value)}"
    assert epochal.parse(text, NOW) == Compare(Field("tags", key), "=", value)


@settings(max_examples=400)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["metrics.a", "name", ":", "~", "<", ">=", "%", "|", ",", "..", "nil", "(", ")",
             "AND", "OR", "NOT", '"', "1", "now-1d", "best(", "\\", "tags", "status"]
        ),
        max_size=12,
    ).map(" ".join)
)  # fmt: skip
def test_nonsense_is_read_or_refused(text: str) -> None:
    for read in (lambda: epochal.parse(text, NOW), lambda: epochal.parse_order(text)):
        refused = refusal(read)
        assert refused is None or refused.violations


@pytest.mark.parametrize(
    "order_by", ["metrics.loss", "status", "create_time", "iteration", "paused", "uuid", "name"]
)
@pytest.mark.parametrize(
    "value", [{"a": 1}, [], "x\0", 1e400, 10**30, -(2**70), "0001-01-01T00:00:00+14:00", None]
)
def test_a_place_made_up_is_refused_or_a_place(order_by: str, value: object) -> None:
    keys = keys_of(epochal.parse_order(order_by))
    run_id = "0193a000-0000-7000-8000-000000000001"
    refused = refusal(lambda: place_of(keys, [value], run_id))
    assert refused is None or [one.field for one in refused.violations] == ["page_token"]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        pack("1"),
        pack("[]"),
        pack('["","",1]'),
        pack('["", "2030-01-01", [1], "x"]'),
        pack("[" * 9999),
    ],
)
def test_a_foreign_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _place(Wanted(scope_of([PROJECT]), token=token), epochal.NEWEST_FIRST)
    assert [one.field for one in caught.value.violations] == ["page_token"]


def test_a_page_token_belongs_to_its_filter() -> None:
    token = pack(json.dumps(["0" * 16, "2030-01-01T00:00:00Z", [1], "x"]))
    with pytest.raises(InvalidArgument, match="belongs to another call"):
        _place(Wanted(scope_of([PROJECT]), filter="name:a", token=token), epochal.NEWEST_FIRST)
