"""Rules and differences of dataset versions, by what is known of their columns."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import epochal_proto.v1 as pb
import pytest
from epochal_lineage.domain.dataset_differences import differences
from epochal_lineage.domain.dataset_rules import check_rules
from epochal_lineage.domain.datasets import Inputs, InputsAggregate, dataset_version, log_dataset
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2030, 1, 2, tzinfo=UTC)
GRID = 21


def quantiles(values: list[float]) -> list[float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return [ordered[round(n * last / (GRID - 1))] for n in range(GRID)]


def numbers(name: str, values: list[float], nulls: int = 0) -> pb.ColumnProfile:
    return pb.ColumnProfile(
        name=name,
        type="float64",
        nulls=nulls,
        distinct=len(set(values)),
        min=min(values),
        max=max(values),
        mean=math.fsum(values) / len(values),
        quantiles=quantiles(values),
    )


def words(name: str, **counts: int) -> pb.ColumnProfile:
    top = [pb.ValueCount(value=value, count=count) for value, count in counts.items()]
    return pb.ColumnProfile(name=name, type="string", distinct=len(counts), top=top)


def contents(*columns: pb.ColumnProfile, rows: int = 10) -> pb.DatasetContents:
    found = pb.DatasetContents(columns=columns, rows=rows)
    found.modify_time.FromDatetime(NOW - timedelta(hours=1))
    return found


TEN = contents(
    numbers("x", [float(n) for n in range(9)], nulls=1), words("w", a=7, b=3), numbers("k", [1, 1])
)
KIND = pb.DatasetRule


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (KIND(kind=pb.DATASET_RULE_KIND_SCHEMA, column="x"), True),
        (KIND(kind=pb.DATASET_RULE_KIND_SCHEMA, column="x", type="float64"), True),
        (KIND(kind=pb.DATASET_RULE_KIND_SCHEMA, column="x", type="int64"), False),
        (KIND(kind=pb.DATASET_RULE_KIND_SCHEMA, column="none"), False),
        (KIND(kind=pb.DATASET_RULE_KIND_RANGE, column="x", min=0, max=8), True),
        (KIND(kind=pb.DATASET_RULE_KIND_RANGE, column="x", min=0.1), False),
        (KIND(kind=pb.DATASET_RULE_KIND_RANGE, column="x", max=7.9), False),
        (KIND(kind=pb.DATASET_RULE_KIND_RANGE, column="w", max=7.9), False),
        (KIND(kind=pb.DATASET_RULE_KIND_NULLS, column="x", share=0.1), True),
        (KIND(kind=pb.DATASET_RULE_KIND_NULLS, column="x", share=0.09), False),
        (KIND(kind=pb.DATASET_RULE_KIND_UNIQUE, column="x"), True),
        (KIND(kind=pb.DATASET_RULE_KIND_UNIQUE, column="k"), False),
        (KIND(kind=pb.DATASET_RULE_KIND_FRESH, max_age_s=3600), True),
        (KIND(kind=pb.DATASET_RULE_KIND_FRESH, max_age_s=3599), False),
        (KIND(kind=pb.DATASET_RULE_KIND_ROWS, min=10, max=10), True),
        (KIND(kind=pb.DATASET_RULE_KIND_ROWS, min=11), False),
        (KIND(kind=pb.DATASET_RULE_KIND_ROWS, max=9), False),
        (KIND(kind=pb.DATASET_RULE_KIND_VALUES, column="w", values=["a", "b", "c"]), True),
        (KIND(kind=pb.DATASET_RULE_KIND_VALUES, column="w", values=["a"]), False),
    ],
)
def test_a_rule_holds_or_not_and_says_what_was_found(rule: pb.DatasetRule, holds: bool) -> None:
    (result,) = check_rules([rule], TEN, NOW)
    assert (result.passed, result.rule) == (holds, rule)
    assert result.detail


@pytest.mark.parametrize(
    "kind",
    [kind for kind in pb.DatasetRuleKind.values() if kind != pb.DATASET_RULE_KIND_UNSPECIFIED],
)
def test_a_rule_about_what_is_not_known_does_not_hold(kind: pb.DatasetRuleKind) -> None:
    (result,) = check_rules([KIND(kind=kind, column="x")], pb.DatasetContents(), NOW)
    assert not result.passed
    blank = pb.DatasetContents(columns=[pb.ColumnProfile(name="x", distinct_estimated=True)])
    (result,) = check_rules([KIND(kind=kind, column="x")], blank, NOW)
    assert result.passed == (kind == pb.DATASET_RULE_KIND_SCHEMA)


def test_columns_come_go_and_change_their_type() -> None:
    old = contents(words("a", x=1), words("b", x=1))
    new = contents(words("c", x=1), numbers("a", [1, 2]))
    found = {one.name: (one.old_type, one.new_type, one.changed) for one in differences(old, new)}
    assert found == {
        "c": ("", "string", True),
        "a": ("string", "float64", True),
        "b": ("string", "", True),
    }


def test_equal_columns_do_not_differ() -> None:
    for one in differences(TEN, TEN):
        assert not one.changed
        assert one.psi == pytest.approx(0)
        assert one.ks == pytest.approx(0)


def test_a_shifted_column_has_drifted() -> None:
    values = [n / 100 for n in range(1000)]
    old = contents(numbers("x", values), rows=1000)
    near = contents(numbers("x", [value + 0.05 for value in values]), rows=1000)
    far = contents(numbers("x", [value + 5 for value in values]), rows=1000)
    apart = contents(numbers("x", [value + 50 for value in values]), rows=1000)
    (small,), (large,), (all_,) = (differences(old, one) for one in (near, far, apart))
    assert not small.changed
    assert small.ks < 0.05
    assert large.changed
    assert large.ks == pytest.approx(0.5, abs=0.05)
    assert all_.ks == pytest.approx(1)
    assert (large.old_mean, large.new_mean) == (pytest.approx(4.995), pytest.approx(9.995))


def test_a_category_that_takes_over_has_drifted() -> None:
    old, new = contents(words("w", a=5, b=5)), contents(words("w", a=1, c=9))
    (found,) = differences(old, new)
    p, q = (0.5, 0.5, 1e-4, 1e-4), (0.1, 1e-4, 0.9, 1e-4)
    exact = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert found.psi == pytest.approx(exact)
    assert found.changed


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
)
def test_distances_of_any_columns_are_distances(a: list[float], b: list[float]) -> None:
    one, two = contents(numbers("x", a)), contents(numbers("x", b))
    (there,), (back,) = differences(one, two), differences(two, one)
    assert 0 <= there.ks <= 1 + 1e-9
    assert there.ks == pytest.approx(back.ks)
    assert there.psi >= -1e-9


def test_a_version_is_named_by_content_else_by_place_and_what_is_there() -> None:
    def name(digest: str = "", uri: str = "s3://b/k", **told: object) -> str:
        known = pb.DatasetContents(**told) if told else None
        return dataset_version("orgs/o/projects/p", "d", uri, digest, known)

    assert name("sha256:" + "ab" * 32).endswith("/datasets/d/versions/" + "ab" * 6)
    assert name() == name(format="csv") != name(etag="1")
    assert name(etag="1") == name(etag="1", size_bytes=7) != name(etag="2")
    assert name(size_bytes=7) != name(size_bytes=8)
    assert name(snapshot="1") != name(snapshot="2") != name()


def test_what_is_told_twice_is_recorded_once_and_rules_each_time() -> None:
    fold = InputsAggregate()
    produced = pb.DatasetProduced(run="r", dataset="d")
    results = [pb.RuleResult(passed=False)]
    state: Inputs = fold.initial()
    (first, checked) = log_dataset(state, produced, [], results)
    assert isinstance(checked, pb.DatasetValidated)
    assert not checked.passed
    state = fold.evolve(fold.evolve(state, first), checked)
    assert log_dataset(state, produced, []) == []
    described = pb.DatasetProduced(run="r", dataset="d", contents=pb.DatasetContents(rows=1))
    (again,) = log_dataset(state, described, [])
    state = fold.evolve(state, again)
    assert log_dataset(state, described, []) == []
    (derived,) = log_dataset(state, described, [pb.ColumnSource(column="a")])
    assert isinstance(derived, pb.ColumnsDerived)
