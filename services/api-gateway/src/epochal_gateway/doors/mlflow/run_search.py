"""Searching runs: MLflow's filters and orders, which the tracker reads."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument
from epochal_proto.v1.services import SearchService

from epochal_gateway.doors.mlflow import experiments, model_links, paging, run_messages, runs
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject
from epochal_gateway.projections import ProjectRow

#: Experiments that one search may name; all of them are one organisation.
MOST_PARENTS: Final = 1_000

_VIEWS: Final = {
    (True, False): pb.RUN_VIEW_ACTIVE,
    (False, True): pb.RUN_VIEW_DELETED,
    (True, True): pb.RUN_VIEW_ALL,
}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Search the runs of some experiments."""
    size = paging.max_results(fields)
    active, deleted = paging.view(fields, "run_view_type")
    # An experiment that is not there, for this caller, has no runs.
    projects: list[ProjectRow] = []
    for wanted in fields.texts("experiment_ids"):
        with suppress(MlflowError):
            projects.append(await experiments.find(session, wanted))
    # Runs of an archived experiment are deleted with it.
    searched = [row for row in projects if deleted or not row.archived]
    if not searched:
        return {}
    only_deleted = deleted and not active
    mixed = only_deleted and any(row.archived for row in searched)
    request = pb.SearchRunsRequest(
        parents=_parents(session, searched),
        filter=fields.text("filter"),
        grammar=pb.FILTER_GRAMMAR_MLFLOW,
        order_by=", ".join(fields.texts("order_by")),
        page_size=size,
        page_token=fields.text("page_token"),
        view=pb.RUN_VIEW_ALL if mixed else _VIEWS[active, deleted],
    )
    try:
        page = await session.call(SearchService.SEARCH_RUNS, request)
    except InvalidArgument as error:
        raise MlflowError(error.message) from error
    found = [
        (run, row)
        for run in page.runs
        for row in [runs.experiment_of(session, run.name)]
        if (deleted or not row.archived) and (not mixed or _deleted(run, row))
    ]
    linked = await model_links.linked(session, [run.name for run, _ in found])
    answer: dict[str, object] = {
        "runs": [
            run_messages.run_message(run, row, linked.get(run.name, run_messages.NO_MODELS))
            for run, row in found
        ]
    }
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


def _parents(session: Session, searched: list[ProjectRow]) -> list[str]:
    """Return where to look: the projects, or the organisation when that is all of them."""
    names = sorted({row.name for row in searched})
    if len(names) <= MOST_PARENTS:
        return names
    if len(names) < len({row.name for row in experiments.visible(session) if not row.archived}):
        raise MlflowError(
            f"Invalid value for parameter 'experiment_ids' supplied: at most {MOST_PARENTS} of "
            f"them, or all; got {len(names)}"
        )
    return [session.org]


def _deleted(run: pb.Run, row: ProjectRow) -> bool:
    return row.archived or run.HasField("delete_time")


def routes() -> list[MlflowRoute]:
    """Return the routes of the search."""
    return [
        MlflowRoute("POST", "runs/search", search),
        MlflowRoute("GET", "runs/search", search),
    ]
