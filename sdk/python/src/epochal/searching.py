"""Finding runs from Python: a search, its runs as rows, as frames of pandas or polars, as files."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeVar, overload

import epochal_proto.v1 as pb
from epochal_proto.v1.services import SearchService

from epochal import config, names
from epochal.client import Client
from epochal.errors import FailedPrecondition, InvalidArgument
from epochal.values import from_value

if TYPE_CHECKING:
    import pandas
    import polars

PAGE: Final = 1000
_GRAMMARS: Final = {
    "epochal": pb.FILTER_GRAMMAR_EPOCHAL,
    "mlflow": pb.FILTER_GRAMMAR_MLFLOW,
}
_VIEWS: Final = {
    "active": pb.RUN_VIEW_ACTIVE,
    "deleted": pb.RUN_VIEW_DELETED,
    "all": pb.RUN_VIEW_ALL,
}
Chosen = TypeVar("Chosen")

#: What a row can hold; None where a run has nothing.
Cell = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class FoundRuns(Sequence[pb.Run]):
    """The runs that a search found, in its order.

    found = epochal.search_runs("metrics.acc:>0.9", order_by="metrics.acc desc")
    found[0].display_name, found.rows()[0]["params.lr"]
    found.to_pandas().plot.scatter("params.lr", "metrics.acc")
    """

    runs: tuple[pb.Run, ...]

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, place: int) -> pb.Run: ...

    @overload
    def __getitem__(self, place: slice) -> FoundRuns: ...

    def __getitem__(self, place: int | slice) -> pb.Run | FoundRuns:
        if isinstance(place, slice):
            return FoundRuns(self.runs[place])
        return self.runs[place]

    def columns(self) -> list[str]:
        """The names of all columns: fields of runs, then params., metrics., outputs., tags."""
        groups: dict[str, None] = {}
        rows = [row_of(run) for run in self.runs]
        own = list(rows[0])[: len(_OWN)] if rows else list(_OWN)
        for prefix in ("params.", "metrics.", "outputs.", "tags."):
            for name in sorted({name for row in rows for name in row if name.startswith(prefix)}):
                groups[name] = None
        return [*own, *groups]

    def rows(self) -> list[Mapping[str, Cell]]:
        """One row for each run, every row with all columns; metrics are their last values."""
        columns = self.columns()
        rows = [row_of(run) for run in self.runs]
        return [{name: row.get(name) for name in columns} for row in rows]

    def to_csv(self, path: str | Path) -> Path:
        """Writes a CSV file (RFC 4180, UTF-8) and returns its path.

        Raises:
            OSError: The file cannot be written.
        """
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns())
            writer.writeheader()
            writer.writerows(
                {name: _written(cell) for name, cell in row.items()} for row in self.rows()
            )
        return Path(path)

    def to_parquet(self, path: str | Path) -> Path:
        """Writes a Parquet file and returns its path; needs pyarrow.

        Raises:
            FailedPrecondition: pyarrow is not installed.
            OSError: The file cannot be written.
        """
        arrow, parquet = _optional("pyarrow"), _optional("pyarrow.parquet")
        parquet.write_table(arrow.table(self._columns()), str(path))
        return Path(path)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame with one row for each run; needs pandas.

        Raises:
            FailedPrecondition: pandas is not installed.
        """
        frame: pandas.DataFrame = _optional("pandas").DataFrame(self._columns())
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A polars DataFrame with one row for each run; needs polars.

        Raises:
            FailedPrecondition: polars is not installed.
        """
        frame: polars.DataFrame = _optional("polars").DataFrame(self._columns(), strict=False)
        return frame

    def _columns(self) -> dict[str, list[Cell]]:
        """Columns of one type each: what is text in one run is text in all, for tables that ask."""
        rows = self.rows()
        return {name: _uniform([row[name] for row in rows]) for name in self.columns()}


def search_runs(
    filter: str = "",
    *,
    projects: Sequence[str] = (),
    order_by: str = "",
    limit: int = 1000,
    grammar: str = "epochal",
    view: str = "active",
    client: Client | None = None,
) -> FoundRuns:
    """Finds runs; docs/search.md has both languages.

        epochal.search_runs("metrics.loss:<0.1, params.lr:0.1..0.5", order_by="metrics.loss")

    Args:
        filter: Condition; empty finds all.
        projects: "vision", "acme/vision" or full names, also "orgs/acme" for all of an
            organisation; the configured project when empty.
        order_by: Such as "metrics.acc desc, create_time"; newest first when empty.
        limit: At most this many; 0 means all.
        grammar: "epochal" or "mlflow".
        view: "active", "deleted" or "all".
        client: Platform to ask; the configured one when None.

    Raises:
        InvalidArgument: The filter, the order or an argument cannot be read.
        PermissionDenied: One of the projects may not be read.
        NotConfigured, PlatformUnreachable: There is no platform.
    """
    if client is None:
        with Client(config.find(), refresh=config.find) as opened:
            return search_runs(
                filter, projects=projects, order_by=order_by, limit=limit, grammar=grammar,
                view=view, client=opened,
            )  # fmt: skip
    request = search_request(
        client.connection.project, filter, projects, order_by=order_by, grammar=grammar, view=view
    )
    return FoundRuns(tuple(_pages(client, request, limit)))


def search_request(
    home: str, filter: str, projects: Sequence[str], *, order_by: str, grammar: str, view: str
) -> pb.SearchRunsRequest:
    """Makes the request of a search; `home` is the project of names that say none.

    Raises:
        InvalidArgument: An argument cannot be read.
    """
    return pb.SearchRunsRequest(
        parents=[_parent(name, home) for name in projects] or [home],
        filter=filter,
        grammar=_choice("grammar", grammar, _GRAMMARS),
        order_by=order_by,
        view=_choice("view", view, _VIEWS),
    )


def row_of(run: pb.Run) -> dict[str, Cell]:
    """A run as a row: its own fields, then named values under their group."""
    row: dict[str, Cell] = {
        "run_id": run.uid,
        "name": run.name,
        "display_name": run.display_name,
        "status": pb.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower(),
        "kind": pb.RunKind.Name(run.kind).removeprefix("RUN_KIND_").lower(),
        "creator": run.creator,
    }
    for field in ("create_time", "start_time", "end_time"):
        there = run.HasField(field)
        row[field] = getattr(run, field).ToDatetime(tzinfo=UTC) if there else None
    row |= {f"params.{name}": from_value(value) for name, value in run.params.items()}
    row |= {f"metrics.{name}": summary.last for name, summary in run.metrics.items()}
    row |= {f"outputs.{name}": from_value(value) for name, value in run.outputs.items()}
    row |= {f"tags.{name}": text for name, text in run.tags.items()}
    return row


_OWN: Final = tuple(row_of(pb.Run()))


def _pages(client: Client, request: pb.SearchRunsRequest, limit: int) -> Iterator[pb.Run]:
    left = limit
    while True:
        request.page_size = min(left, PAGE) if limit else PAGE
        response = client.call(SearchService.SEARCH_RUNS, request)
        yield from response.runs
        left -= len(response.runs)
        if not response.next_page_token or (limit and left <= 0):
            return
        request.page_token = response.next_page_token


def _parent(name: str, home: str) -> str:
    parts = name.split("/")
    if parts[0] == "orgs" and len(parts) == 2:
        return name
    return names.full_project(name, home)


def _choice(argument: str, given: str, known: Mapping[str, Chosen]) -> Chosen:
    if given not in known:
        raise InvalidArgument(f"{argument} is {' or '.join(known)}, not {given!r}")
    return known[given]


def _uniform(cells: list[Cell]) -> list[Cell]:
    kinds = {type(cell) for cell in cells if cell is not None}
    if len(kinds) < 2:
        return cells
    if kinds == {int, float}:
        return [None if cell is None else float(str(cell)) for cell in cells]
    return [None if cell is None else _written(cell) for cell in cells]


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


def _optional(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise FailedPrecondition(
            f"{package} is not installed here: pip install {package}, or 'epochal[frames]'",
            reason="PACKAGE_MISSING",
        ) from None
