"""`epochal datasets`: versions, what is in them, how they differ, whether rules hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
import yaml

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    number,
    print_json,
    show_list,
    show_one,
    size,
    when,
)
from epochal.cli.past import AsOfOption, moment
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.datasets import Datasets, RuleSpec
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="Datasets: versions, contents, rules, differences.")

VersionArgument = Annotated[
    str, typer.Argument(help="D for the newest version, D@V, or the full name.")
]

_DATASET = [
    Column[pb.Dataset]("DATASET", lambda one: one.name.rpartition("/")[2], "bold"),
    Column[pb.Dataset]("VERSIONS", lambda one: str(one.versions), right=True),
    Column[pb.Dataset]("NEWEST", lambda one: one.latest_version.rpartition("/")[2]),
    Column[pb.Dataset]("TOLD OF", lambda one: when(one.update_time)),
]
_VERSION = [
    Column[pb.DatasetVersion]("VERSION", lambda one: one.name.rpartition("/")[2], "bold"),
    Column[pb.DatasetVersion]("ROWS", lambda one: _rows(one.contents), right=True),
    Column[pb.DatasetVersion]("SIZE", lambda one: _size(one), right=True),
    Column[pb.DatasetVersion]("KEPT", lambda one: _storage(one)),
    Column[pb.DatasetVersion]("RULES", lambda one: _rules(one)),
    Column[pb.DatasetVersion]("PLACE", lambda one: one.uri),
    Column[pb.DatasetVersion]("TOLD OF", lambda one: when(one.create_time)),
]
_SHOWN = [
    Column[pb.DatasetVersion]("name", lambda one: one.name),
    Column[pb.DatasetVersion]("digest", lambda one: one.digest),
    *_VERSION[1:],
    Column[pb.DatasetVersion]("run", lambda one: one.run),
    Column[pb.DatasetVersion]("by", lambda one: "made" if one.produced else "read"),
]
_COLUMN = [
    Column[pb.ColumnProfile]("COLUMN", lambda one: one.name, "bold"),
    Column[pb.ColumnProfile]("TYPE", lambda one: one.type),
    Column[pb.ColumnProfile]("NULLS", lambda one: str(one.nulls), right=True),
    Column[pb.ColumnProfile](
        "DISTINCT",
        lambda one: f"{'about ' if one.distinct_estimated else ''}{one.distinct}",
        right=True,
    ),
    Column[pb.ColumnProfile]("MIN", lambda one: _least(one), right=True),
    Column[pb.ColumnProfile]("MEDIAN", lambda one: _median(one), right=True),
    Column[pb.ColumnProfile]("MAX", lambda one: _greatest(one), right=True),
    Column[pb.ColumnProfile]("MOST FREQUENT", lambda one: _frequent(one)),
]
_DIFFERENCE = [
    Column[pb.ColumnDifference]("COLUMN", lambda one: one.name, "bold"),
    Column[pb.ColumnDifference]("CHANGED", lambda one: "yes" if one.changed else ""),
    Column[pb.ColumnDifference]("TYPE", lambda one: _types(one)),
    Column[pb.ColumnDifference](
        "NULLS", lambda one: f"{one.old_null_share:.1%} -> {one.new_null_share:.1%}"
    ),
    Column[pb.ColumnDifference]("MEAN", lambda one: _means(one)),
    Column[pb.ColumnDifference](
        "PSI", lambda one: f"{one.psi:.3f}" if one.HasField("psi") else "", right=True
    ),
    Column[pb.ColumnDifference](
        "KS", lambda one: f"{one.ks:.3f}" if one.HasField("ks") else "", right=True
    ),
]
_RESULT = [
    Column[pb.RuleResult]("HOLDS", lambda one: "yes" if one.passed else "NO", "bold"),
    Column[pb.RuleResult](
        "RULE",
        lambda one: (
            pb.DatasetRuleKind.Name(one.rule.kind).removeprefix("DATASET_RULE_KIND_").lower()
        ),
    ),
    Column[pb.RuleResult]("COLUMN", lambda one: one.rule.column),
    Column[pb.RuleResult]("FOUND", lambda one: one.detail),
]


@app.command("ls")
def list_datasets(
    dataset: Annotated[str, typer.Argument(help="Show the versions of this one.")] = "",
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """List datasets, or the versions of one, newest first.

    For example:

        epochal datasets ls

        epochal datasets ls digits -o json

        epochal datasets ls digits --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        datasets = Datasets(opened.client, opened.project, moment(as_of))
        if dataset:
            show_list(datasets.versions(dataset), _VERSION, output, "No version is known.")
        else:
            show_list(datasets, _DATASET, output, "No run has read or made a dataset yet.")


@app.command("show")
def show(
    version: VersionArgument,
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show a version: where it is, what is in its columns, what came of rules.

    For example:

        epochal datasets show digits

        epochal datasets show digits@3f2a9c114a5e -o json

        epochal datasets show digits --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        found = Datasets(opened.client, opened.project, moment(as_of)).get(version)
    show_one(found, _SHOWN, output)
    if output is Output.json:
        return
    if found.contents.columns:
        show_list(found.contents.columns, _COLUMN, output, "")
    if found.results:
        show_list(found.results, _RESULT, output, "")


@app.command("diff")
def diff(
    base: VersionArgument,
    version: Annotated[str, typer.Argument(help="What is compared with it.")],
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show how a version differs from a base: columns, rows, distributions.

    For example:

        epochal datasets diff digits@3f2a9c114a5e digits

        epochal datasets diff digits@3f2a9c114a5e digits -o json

        epochal datasets diff digits@3f2a9c114a5e digits --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        datasets = Datasets(opened.client, opened.project, moment(as_of))
        found = datasets.compare(base, version)
    if output is Output.json:
        print_json(as_json(found))
        return
    old = str(found.old_rows) if found.HasField("old_rows") else "unknown"
    new = str(found.new_rows) if found.HasField("new_rows") else "unknown"
    console().print(f"rows: {old} -> {new}", highlight=False)
    if found.same_content:
        console().print("both have the same content")
    show_list(found.columns, _DIFFERENCE, output, "Of neither the columns are known.")


@app.command("validate")
def validate(
    version: VersionArgument,
    file: Annotated[
        Path, typer.Option("--rules", "-f", exists=True, help="YAML or JSON: a list of rules.")
    ],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Hold rules against a version; ends with 1 when one does not hold. What came is recorded.

    Rules are a list such as: [{kind: range, column: age, min: 0}, {kind: nulls, column: age,
    share: 0.01}, {kind: unique, column: id}, {kind: rows, min: 9}, {kind: fresh, max_age: 86400},
    {kind: schema, column: id, type: int64}, {kind: values, column: label, values: [a, b]}].

    For example:

        epochal datasets validate digits --rules rules.yaml

        epochal datasets validate digits@3f2a9c114a5e -f rules.json -o json
    """
    rules = _read(file)
    with session(project) as opened:
        found = Datasets(opened.client, opened.project).validate(version, rules)
    if output is Output.json:
        print_json(as_json(found))
    else:
        show_list(found.results, _RESULT, output, "")
    if not found.passed:
        failed = sum(not one.passed for one in found.results)
        errors_console().print(f"{failed} of {len(found.results)} rules do not hold")
        raise typer.Exit(1)


@app.command("get")
def get(
    version: VersionArgument,
    to: Annotated[Path, typer.Option("--to", help="File, or folder when it is one.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Bring a version that is kept here: one that was logged as a copy or in chunks.

    For example:

        epochal datasets get digits@3f2a9c114a5e --to digits.csv

        epochal datasets get digits --to digits.csv -o json
    """
    with session(project) as opened:
        found = Datasets(opened.client, opened.project).download(version, to)
    if output is Output.json:
        print_json({"name": found.name, "path": str(to)})
    else:
        console().print(f"{found.name.rpartition('/')[2]} is in {to}", highlight=False)


def _read(file: Path) -> list[RuleSpec]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file} is neither YAML nor JSON: {error}") from None
    listed = isinstance(content, list) and all(isinstance(one, Mapping) for one in content)
    if not listed or not content:
        raise InvalidArgument(f"{file} is no list of rules: see `epochal datasets validate --help`")
    return list(content)


def _rows(contents: pb.DatasetContents) -> str:
    return str(contents.rows) if contents.HasField("rows") else ""


def _size(version: pb.DatasetVersion) -> str:
    return size(version.contents.size_bytes) if version.contents.size_bytes else ""


def _storage(version: pb.DatasetVersion) -> str:
    name = pb.DatasetStorage.Name(version.contents.storage)
    return name.removeprefix("DATASET_STORAGE_").lower().replace("unspecified", "")


def _rules(version: pb.DatasetVersion) -> str:
    if not version.results:
        return ""
    failed = sum(not one.passed for one in version.results)
    return f"{failed} of {len(version.results)} fail" if failed else "hold"


def _least(column: pb.ColumnProfile) -> str:
    return number(column.min) if column.HasField("min") else column.min_text


def _greatest(column: pb.ColumnProfile) -> str:
    return number(column.max) if column.HasField("max") else column.max_text


def _median(column: pb.ColumnProfile) -> str:
    return number(column.quantiles[len(column.quantiles) // 2]) if column.quantiles else ""


def _frequent(column: pb.ColumnProfile) -> str:
    return ", ".join(f"{one.value} ({one.count})" for one in column.top[:3])


def _types(one: pb.ColumnDifference) -> str:
    if one.old_type == one.new_type:
        return one.new_type
    return f"{one.old_type or '(none)'} -> {one.new_type or '(gone)'}"


def _means(one: pb.ColumnDifference) -> str:
    if not (one.HasField("old_mean") and one.HasField("new_mean")):
        return ""
    return f"{number(one.old_mean)} -> {number(one.new_mean)}"
