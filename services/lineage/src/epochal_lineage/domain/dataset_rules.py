"""Rules about versions of datasets, held against what is known of their contents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import epochal_proto.v1 as pb

Check = Callable[[pb.DatasetRule, pb.DatasetContents, datetime], tuple[bool, str]]


def check_rules(
    rules: Iterable[pb.DatasetRule], contents: pb.DatasetContents, now: datetime
) -> list[pb.RuleResult]:
    """Hold rules against contents.

    A rule about something that is not known does not hold: a rule that nobody can check must not
    pass for one that was.
    """
    results = []
    for rule in rules:
        passed, detail = _CHECKS[rule.kind](rule, contents, now)
        results.append(pb.RuleResult(rule=rule, passed=passed, detail=detail))
    return results


def _schema(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    column = _column(rule, contents)
    if column is None:
        return False, f"there is no column {rule.column}"
    if rule.type and column.type != rule.type:
        return False, f"{rule.column} is {column.type}, not {rule.type}"
    return True, f"{rule.column} is {column.type}"


def _range(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    column = _column(rule, contents)
    if column is None:
        return False, f"there is no column {rule.column}"
    if not column.HasField("min") or not column.HasField("max"):
        if contents.HasField("rows") and column.nulls == contents.rows:
            return True, f"{rule.column} has no values"
        return False, f"no least and greatest number of {rule.column} is known"
    found = f"{rule.column} is from {column.min:g} to {column.max:g}"
    low = rule.HasField("min") and column.min < rule.min
    high = rule.HasField("max") and column.max > rule.max
    return not (low or high), found


def _nulls(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    column = _column(rule, contents)
    if column is None:
        return False, f"there is no column {rule.column}"
    if not contents.HasField("rows"):
        return False, "the number of rows is not known"
    share = null_share(column, contents)
    found = f"{column.nulls} of {contents.rows} rows have no {rule.column} ({share:.2%})"
    return share <= rule.share, found


def _unique(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    column = _column(rule, contents)
    if column is None:
        return False, f"there is no column {rule.column}"
    if column.distinct_estimated or not contents.HasField("rows"):
        return False, f"how many different values {rule.column} has is known only about"
    values = contents.rows - column.nulls
    return column.distinct == values, f"{column.distinct} different ones among {values} values"


def _fresh(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    if not contents.HasField("modify_time"):
        return False, "when it was changed is not known"
    age = now - contents.modify_time.ToDatetime(tzinfo=UTC)
    seconds = int(age.total_seconds())
    return seconds <= rule.max_age_s, f"it was changed {seconds} s ago"


def _rows(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    if not contents.HasField("rows"):
        return False, "the number of rows is not known"
    few = rule.HasField("min") and contents.rows < rule.min
    many = rule.HasField("max") and contents.rows > rule.max
    return not (few or many), f"it has {contents.rows} rows"


def _values(rule: pb.DatasetRule, contents: pb.DatasetContents, now: datetime) -> tuple[bool, str]:
    column = _column(rule, contents)
    if column is None:
        return False, f"there is no column {rule.column}"
    others = [one.value for one in column.top if one.value not in set(rule.values)]
    if others:
        return False, f"{rule.column} has {', '.join(others[:5])} too"
    if column.distinct_estimated or column.distinct > len(column.top):
        return False, f"only {len(column.top)} of the values of {rule.column} are known"
    return True, f"{rule.column} has {column.distinct} different values"


def null_share(column: pb.ColumnProfile, contents: pb.DatasetContents) -> float:
    """Return the share of rows that have no value."""
    return column.nulls / contents.rows if contents.rows else 0.0


def _column(rule: pb.DatasetRule, contents: pb.DatasetContents) -> pb.ColumnProfile | None:
    return next((one for one in contents.columns if one.name == rule.column), None)


_CHECKS: Final[Mapping[int, Check]] = MappingProxyType(
    {
        pb.DATASET_RULE_KIND_SCHEMA: _schema,
        pb.DATASET_RULE_KIND_RANGE: _range,
        pb.DATASET_RULE_KIND_NULLS: _nulls,
        pb.DATASET_RULE_KIND_UNIQUE: _unique,
        pb.DATASET_RULE_KIND_FRESH: _fresh,
        pb.DATASET_RULE_KIND_ROWS: _rows,
        pb.DATASET_RULE_KIND_VALUES: _values,
    }
)
