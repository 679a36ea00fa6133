"""ProjectService: projects of an organisation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, Violation
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_gateway import names
from epochal_gateway.domain import organization as domain
from epochal_gateway.identity.directory import Directory
from epochal_gateway.identity.project_index import org_of
from epochal_gateway.identity.visibility import visible_projects
from epochal_gateway.projections import ProjectRow
from epochal_gateway.services.timestamps import timestamp
from epochal_gateway.store import AccessStore

_UPDATABLE = ("display_name", "description")


class Projects:
    """Handlers of ProjectService."""

    def __init__(
        self, ledger: Ledger, store: AccessStore, directory: Directory, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._directory = directory
        self._progress = progress
        self._aggregate = domain.ScopeAggregate()
        self._titles = asyncio.Lock()

    async def create_project(
        self, request: pb.CreateProjectRequest, context: CallContext
    ) -> pb.Project:
        """Begin a project."""
        name = f"{request.parent}/projects/{request.project_id}"
        title = request.display_name or request.project_id
        if request.validate_only:
            state, _ = await self._ledger.load(self._aggregate, names.stream_of(name))
            domain.create_project(state, name, title, request.description)
            self._assert_free(name, title)
            return pb.Project(
                name=name,
                display_name=title,
                description=request.description,
                tags=request.tags,
            )

        def decide(state: domain.Scope) -> Sequence[Message]:
            events = domain.create_project(state, name, title, request.description, request.tags)
            self._assert_free(name, title)
            return events

        return await self._titling(
            name, decide, context.command(request, request.request_id), context
        )

    async def get_project(self, request: pb.GetProjectRequest, context: CallContext) -> pb.Project:
        """Read one project."""
        await self._progress.wait_for(context.min_position)
        return await self._read(request.name)

    async def list_projects(
        self, request: pb.ListProjectsRequest, context: CallContext
    ) -> pb.ListProjectsResponse:
        """List the projects the caller may read."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        rows = await self._store.projects(
            request.parent,
            paging.unpack(request.page_token),
            request.show_archived,
            visible_projects(self._directory, context.actor, request.parent),
            size + 1,
        )
        more = len(rows) > size
        return pb.ListProjectsResponse(
            projects=[_project(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].name) if more else "",
        )

    async def update_project(
        self, request: pb.UpdateProjectRequest, context: CallContext
    ) -> pb.Project:
        """Change display name or description."""
        project = request.project
        paths = list(request.update_mask.paths) or [
            path for path in _UPDATABLE if getattr(project, path)
        ]
        for path in paths:
            if path not in _UPDATABLE:
                raise InvalidArgument(
                    f"{path} cannot be updated",
                    violations=[
                        Violation(
                            "update_mask", "update_mask", f"use only {' and '.join(_UPDATABLE)}"
                        )
                    ],
                )
        read = await self._read(project.name) if project.etag else None

        def decide(state: domain.Scope) -> Sequence[Message]:
            # Here, so that a request that comes again is answered as the first time; and the view
            # that the etag is compared with may be older than the log.
            if read is not None and (project.etag, state.display_name, state.description) != (
                read.etag,
                read.display_name,
                read.description,
            ):
                raise Aborted(
                    f"{project.name} was changed since it was read: read it again",
                    reason="ETAG_MISMATCH",
                    resource=project.name,
                )
            events = domain.describe_project(
                state,
                project.name,
                project.display_name if "display_name" in paths else None,
                project.description if "description" in paths else None,
            )
            if "display_name" in paths and project.display_name != state.display_name:
                self._assert_free(project.name, project.display_name)
            return events

        command = context.command(request, request.request_id)
        return await self._titling(project.name, decide, command, context)

    async def archive_project(
        self, request: pb.ArchiveProjectRequest, context: CallContext
    ) -> pb.Project:
        """Put a project away."""
        outcome = await self._ledger.execute(
            self._aggregate,
            names.stream_of(request.name),
            request.name,
            lambda state: domain.archive_project(state, request.name),
            context.command(request, request.request_id),
        )
        return await self._written(request.name, outcome.position, context)

    async def restore_project(
        self, request: pb.RestoreProjectRequest, context: CallContext
    ) -> pb.Project:
        """Take a project into use again, unless another has its name for people by now."""

        def decide(state: domain.Scope) -> Sequence[Message]:
            events = domain.restore_project(state, request.name)
            if events:
                self._assert_free(request.name, state.display_name)
            return events

        command = context.command(request, request.request_id)
        return await self._titling(request.name, decide, command, context)

    async def set_project_tags(
        self, request: pb.SetProjectTagsRequest, context: CallContext
    ) -> pb.Project:
        """Set and remove tags."""
        outcome = await self._ledger.execute(
            self._aggregate,
            names.stream_of(request.name),
            request.name,
            lambda state: domain.set_tags(state, request.name, request.tags, request.remove),
            context.command(request, request.request_id),
        )
        return await self._written(request.name, outcome.position, context)

    async def _titling(
        self,
        name: str,
        decide: Callable[[domain.Scope], Sequence[Message]],
        command: CommandContext,
        context: CallContext,
    ) -> pb.Project:
        """Carry out what may give a project a name for people, one at a time.

        A gateway's own writes are in its directory before the next is decided. Two gateways that
        give two projects one name within the same milliseconds are not kept from it.
        """
        async with self._titles:
            outcome = await self._ledger.execute(
                self._aggregate, names.stream_of(name), name, decide, command
            )
            return await self._written(name, outcome.position, context)

    def _assert_free(self, name: str, display_name: str) -> None:
        for row in self._directory.titled(org_of(name), display_name):
            if row.name != name and not row.archived:
                raise AlreadyExists(
                    f"{row.name} has the name {display_name!r} already: choose another",
                    reason="DISPLAY_NAME_TAKEN",
                    resource=row.name,
                    violations=[
                        Violation("display_name", "unique", "no two projects in use share one")
                    ],
                )

    async def _written(self, name: str, position: int, context: CallContext) -> pb.Project:
        context.wrote(position)
        await self._progress.wait_for(position)
        return await self._read(name)

    async def _read(self, name: str) -> pb.Project:
        row = await self._store.project(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return _project(row)


def _project(row: ProjectRow) -> pb.Project:
    return pb.Project(
        name=row.name,
        display_name=row.display_name,
        description=row.description,
        create_time=timestamp(row.create_time),
        archived=row.archived,
        etag=f'"{row.version}"',
        tags=json.loads(row.tags),
        update_time=timestamp(row.update_time),
        number=row.number,
    )
