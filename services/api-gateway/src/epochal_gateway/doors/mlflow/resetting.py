"""POST /test/reset: empties the experiments of the caller's organisation, for tests of clients.

Nothing is erased: projects are archived, runs of the default one deleted, each by an event of its
own, and one event more says that it was a reset. It exists only where the setting allows it and the
gateway is bound to loopback, and for callers who may change the organisation itself.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError, InvalidArgument, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_proto.v1.services import ProjectService, RunService, SearchService
from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from epochal_gateway import names
from epochal_gateway.domain.organization import ScopeAggregate
from epochal_gateway.doors.mlflow import experiments
from epochal_gateway.doors.mlflow.artifact_places import holder_id
from epochal_gateway.doors.mlflow.door import MlflowDoor
from epochal_gateway.doors.mlflow.errors import error_response
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, json_response

_PAGE: Final = 1_000


def assert_loopback(host: str) -> None:
    """Refuse to offer a reset where others could reach it.

    Raises:
        InvalidArgument: the host is not loopback.
    """
    try:
        alone = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = False
    if not alone:
        raise InvalidArgument(
            f"EPOCHAL_ALLOW_TEST_RESET is for tests on one machine, and the gateway is bound to "
            f"{host}: bind it to 127.0.0.1 or unset it",
            violations=[Violation("EPOCHAL_ALLOW_TEST_RESET", "loopback", "needs a loopback host")],
        )


class Resetting:
    """Serves the reset."""

    def __init__(self, door: MlflowDoor, ledger: Ledger) -> None:
        self._door = door
        self._ledger = ledger
        self._aggregate = ScopeAggregate()

    def routes(self) -> list[BaseRoute]:
        """Return the application's route."""
        return [Route("/test/reset", self._serve, methods=["POST"])]

    async def _serve(self, request: Request) -> Response:
        try:
            return json_response(await self._reset(self._door.session(request)))
        except EpochalError as error:
            return error_response(error)

    async def _reset(self, session: Session) -> JsonObject:
        session.check("org.write", session.org, write=True)
        await session.fresh()
        archived, deleted = [], 0
        for row in session.platform.directory.projects(session.org):
            if row.archived:
                continue
            if experiments.is_default(row):
                deleted += await _delete_runs(session, row.name)
                continue
            archive = pb.ArchiveProjectRequest(name=row.name)
            await session.call(ProjectService.ARCHIVE_PROJECT, archive)
            archived.append(row.name)
        told = pb.ExperimentsReset(
            parent=session.org,
            requester=session.identity.actor,
            projects=archived,
            deleted_runs=deleted,
        )
        context = session.platform.dispatcher.context(session.identity, session.org, session.caller)
        await self._ledger.execute(
            self._aggregate,
            names.stream_of(session.org),
            session.org,
            lambda _: [told],
            context.command(told),
        )
        return {"archived_experiments": len(archived), "deleted_runs": deleted}


async def _delete_runs(session: Session, project: str) -> int:
    request = pb.SearchRunsRequest(
        parents=[project], page_size=_PAGE, read_mask=FieldMask(paths=["name"])
    )
    holder = f"{project}/runs/{holder_id(project)}"
    deleted = 0
    while True:
        page = await session.call(SearchService.SEARCH_RUNS, request)
        for run in page.runs:
            if run.name == holder:
                continue  # stands for no run, and goes on holding what comes
            try:
                await _delete(session, run.name)
            except EpochalError as error:
                # What an agent has is stopped now and ends soon; it cannot be deleted before.
                if error.reason != "RUN_LIVE":
                    raise
                continue
            deleted += 1
        if not page.next_page_token:
            return deleted
        request.page_token = page.next_page_token


async def _delete(session: Session, name: str) -> None:
    delete = pb.DeleteRunRequest(name=name)
    try:
        await session.call(RunService.DELETE_RUN, delete)
    except EpochalError as error:
        if error.reason != "RUN_LIVE":
            raise
        await session.call(RunService.STOP_RUN, pb.StopRunRequest(name=name, reason="test reset"))
        await session.call(RunService.DELETE_RUN, delete)
    session.platform.runs.note_deleted(name)
