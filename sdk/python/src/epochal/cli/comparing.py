"""`epochal runs compare | group | importance | plot | export`: many runs at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import SearchService, SeriesService
from rich.table import Table
from rich.text import Text

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    number,
    print_json,
    show_list,
)
from epochal.cli.references import run_name
from epochal.cli.runs import app
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.cli.statuses import status_text
from epochal.drawing import Line, svg, terminal
from epochal.errors import InvalidArgument
from epochal.names import last_part
from epochal.searching import search_runs
from epochal.values import from_value

RunsArgument = Annotated[
    list[str] | None, typer.Argument(help="Runs: names, UUIDs, beginnings of one, display names.")
]
FilterOption = Annotated[
    str, typer.Option("--filter", "--query", "-q", help="Instead of names: a filter.")
]
OrderOption = Annotated[str, typer.Option(help="Such as 'metrics.acc desc'.")]
_PLOTTED: Final = 20


class Format(StrEnum):
    """What a file is written as."""

    csv = "csv"
    parquet = "parquet"


@app.command("compare")
def compare(
    runs: RunsArgument = None,
    filter_: FilterOption = "",
    order_by: OrderOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Runs.")] = 8,
    every: Annotated[bool, typer.Option("--all", help="Also what all have in common.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Lay runs beside each other: parameters, metrics, outputs and tags in which they differ.

    For example:

        epochal runs compare brave-otter 0190f5c8 calm-heron

        epochal runs compare -q 'metrics.acc:>0.9' --order-by 'metrics.acc desc' -n 5

        epochal runs compare brave-otter calm-heron --all -o json
    """
    with session(project) as opened:
        request = pb.TabulateRunsRequest(
            parents=[opened.project],
            filter=filter_,
            order_by=order_by,
            runs=_named(opened, runs, filter_),
            limit=0 if runs else limit,
            with_equal=every,
        )
        table = opened.client.call(SearchService.TABULATE_RUNS, request)
    if output is Output.json:
        print_json(as_json(table))
        return
    if not table.runs:
        errors_console().print("no runs fit; `epochal runs ls` shows those there are")
        return
    shown = Table("", box=None, header_style="bold", pad_edge=False)
    for run in table.runs:
        shown.add_column(f"{run.display_name}\n{run.uid[:13]}\n{status_text(run)}", overflow="fold")
    for row in table.rows:
        style = "" if row.differs else "dim"
        cells = [Text(_cell(value), style) for value in row.values]
        shown.add_row(Text(f"{row.section}.{row.name}", "bold"), *cells)
    console().print(shown)
    equal = sum(table.equal.values())
    errors_console().print(f"{equal} more are equal in all of them" if not every else "")


@app.command("group")
def group(
    by: Annotated[list[str], typer.Argument(help="Fields, such as params.model or status.")],
    value: Annotated[
        list[str] | None, typer.Option("--value", help="Such as 'min(metrics.loss)'; many.")
    ] = None,
    best_by: Annotated[str, typer.Option(help="Tell the best run, by such an order.")] = "",
    filter_: FilterOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 50,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Group runs by fields, with counts, numbers and the best run of each group.

    For example:

        epochal runs group params.model --value 'max(metrics.acc)' --value 'avg(duration)'

        epochal runs group tags.team status -q 'created_at:last_week' -o json

        epochal runs group params.model --best-by 'metrics.acc desc'
    """
    values = value or []
    with session(project) as opened:
        request = pb.GroupRunsRequest(
            parents=[opened.project],
            filter=filter_,
            group_by=by,
            values=values,
            best_by=best_by,
            page_size=limit,
        )
        found = opened.client.call(SearchService.GROUP_RUNS, request)
    columns = [_key_column(place, name) for place, name in enumerate(by)]
    columns.append(Column[pb.RunGroup]("RUNS", lambda each: str(each.count), right=True))
    columns += [_value_column(place, name) for place, name in enumerate(values)]
    if best_by:
        columns.append(Column[pb.RunGroup]("BEST", lambda each: last_part(each.best_run)))
    show_list(found.groups, columns, output, "no runs fit")


@app.command("importance")
def importance(
    target: Annotated[
        str, typer.Argument(help="Such as metrics.loss, max(metrics.acc), duration.")
    ],
    filter_: FilterOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=5, max=5000, help="Runs.")] = 1000,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Tell which parameters matter for a number: importance (fANOVA) and rank correlation.

    For example:

        epochal runs importance metrics.loss

        epochal runs importance 'max(metrics.acc)' -q 'created_at:last_week, kind:job'

        epochal runs importance duration -o json
    """
    with session(project) as opened:
        request = pb.RankParamsRequest(
            parents=[opened.project], filter=filter_, target=target, limit=limit
        )
        found = opened.client.call(SearchService.RANK_PARAMS, request)
    if output is Output.json:
        print_json(as_json(found))
        return
    columns = [
        Column[pb.ParamRank]("PARAMETER", lambda rank: rank.name, "bold"),
        Column[pb.ParamRank]("IMPORTANCE", lambda rank: f"{rank.importance:.3f}", right=True),
        Column[pb.ParamRank]("", lambda rank: "█" * round(rank.importance * 30)),
        Column[pb.ParamRank]("CORRELATION", lambda rank: _signed(rank.correlation), right=True),
        Column[pb.ParamRank]("RUNS", lambda rank: str(rank.runs), right=True),
        Column[pb.ParamRank]("VALUES", lambda rank: str(rank.distinct), right=True),
    ]
    show_list(found.params, columns, output, "no parameter differs between these runs")
    for note in found.notes:
        errors_console().print(note, style="dim", highlight=False)


@app.command("plot")
def plot(
    metric: Annotated[str, typer.Argument(help="A metric, or a pattern such as 'val/*'.")],
    runs: RunsArgument = None,
    filter_: FilterOption = "",
    order_by: OrderOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Runs.")] = _PLOTTED,
    out: Annotated[
        Path | None, typer.Option(help="Write here: .svg, or .png (needs matplotlib).")
    ] = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Draw a metric of some runs in the terminal, or into a file.

    For example:

        epochal runs plot loss brave-otter calm-heron

        epochal runs plot 'val/*' -q 'status:running'

        epochal runs plot acc -q 'tags.team:vision' --order-by 'metrics.acc desc' --out acc.svg
    """
    if out is not None and out.suffix not in (".svg", ".png"):
        raise InvalidArgument(f"{out}: a plot is written as .svg or .png")
    with session(project) as opened:
        named = _named(opened, runs, filter_)
        table = opened.client.call(
            SearchService.TABULATE_RUNS,
            pb.TabulateRunsRequest(
                parents=[opened.project], filter=filter_, order_by=order_by, runs=named,
                limit=0 if named else limit,
            ),
        )  # fmt: skip
        request = pb.QuerySeriesRequest(
            parent=opened.project, runs=[run.uid for run in table.runs], metrics=[metric]
        )
        answer = pb.QuerySeriesResponse()
        if table.runs:
            answer = opened.client.call(SeriesService.QUERY_SERIES, request)
    curves = answer.curves
    for name in answer.archived:
        errors_console().print(
            f"{name} is archived: bring it back with epochal runs archive restore "
            f"{name.rpartition('/')[2]}",
            highlight=False,
        )
    if output is Output.json:
        print_json([as_json(curve) for curve in curves])
        return
    titles = {run.name: run.display_name or run.uid[:13] for run in table.runs}
    lines = [_line(curve, titles) for curve in curves]
    if out is None:
        size = shutil.get_terminal_size((100, 30))
        for row in terminal(lines, size.columns, max(8, min(24, size.lines - len(lines) - 6))):
            console().print(row, highlight=False, no_wrap=True, crop=True)
        return
    if out.suffix == ".svg":
        out.write_text(svg(lines, metric), encoding="utf-8")
    else:
        _png(lines, metric, out)
    errors_console().print(f"{len(lines)} curves in {out}", highlight=False)


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="File to write: .csv, or .parquet (needs pyarrow).")],
    filter_: FilterOption = "",
    order_by: OrderOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Runs; 0 means all.")] = 0,
    format_: Annotated[
        Format | None, typer.Option("--format", help="By the ending, if not given.")
    ] = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Write runs with parameters, last metrics, outputs and tags into a table.

    For example:

        epochal runs export runs.csv

        epochal runs export best.parquet -q 'metrics.acc:>0.9' --order-by 'metrics.acc desc'

        epochal runs export all.csv -p vision -n 1000 -o json
    """
    kind = format_.value if format_ else out.suffix.removeprefix(".")
    if kind not in list(Format):
        raise InvalidArgument(f"{out}: runs are written as .csv or .parquet; or give --format")
    with session(project) as opened:
        found = search_runs(
            filter_,
            projects=[opened.project],
            order_by=order_by,
            limit=limit,
            client=opened.client,
        )
    path = found.to_csv(out) if kind == Format.csv else found.to_parquet(out)
    if output is Output.json:
        print_json({"path": str(path), "runs": len(found), "columns": found.columns()})
        return
    errors_console().print(f"{len(found)} runs in {path}", highlight=False)


def _named(opened: Session, runs: Sequence[str] | None, filter_: str) -> list[str]:
    if not runs and not filter_:
        raise InvalidArgument("name runs, or give a filter with --filter")
    return [run_name(opened, reference) for reference in runs or ()]


def _cell(value: pb.Value) -> str:
    if value.WhichOneof("kind") is None:
        return "-"
    found = from_value(value)
    return number(found) if isinstance(found, float) else str(found)


def _key_column(place: int, name: str) -> Column[pb.RunGroup]:
    return Column[pb.RunGroup](name.upper(), lambda each: _cell(each.keys[place]), "bold")


def _value_column(place: int, name: str) -> Column[pb.RunGroup]:
    return Column[pb.RunGroup](name.upper(), lambda each: number(each.values[place]), right=True)


def _signed(correlation: float) -> str:
    return f"{correlation:+.2f}" if correlation == correlation else "-"


def _line(curve: pb.Curve, titles: dict[str, str]) -> Line:
    name = f"{titles.get(curve.run, curve.run)} {curve.metric}"
    return Line(name, list(curve.steps), list(curve.values))


def _png(lines: Sequence[Line], title: str, out: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidArgument(
            f"{out}: a PNG needs matplotlib (pip install matplotlib); .svg needs nothing"
        ) from None
    figure = Figure(figsize=(9, 5))
    axes = figure.add_subplot(title=title)
    for line in lines:
        axes.plot(line.xs, line.ys, label=line.name)
    axes.legend()
    figure.savefig(out)
