"""ComponentService: what specs refer to by `hubRef` and `presets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import StageService

from epochal_scheduler.domain.settings import (
    COMPONENT,
    LATEST,
    delete_component,
    digest_of,
    register_component,
)
from epochal_scheduler.projections.components import ComponentRow, component_key
from epochal_scheduler.service.queues import stream_of
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.nodes import Scalar
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.texts import assert_storable

_LAST = 2**62


@dataclass(frozen=True, slots=True)
class ComponentServer:
    """Handlers of ComponentService."""

    ledger: Ledger
    store: SchedulerStore
    progress: Progress
    client: RpcClient

    async def register_component(
        self, request: pb.RegisterComponentRequest, context: CallContext
    ) -> pb.Component:
        """Registers a version; its text must be YAML, and is compiled where it is used."""
        assert_storable(request)
        root = parse_document(request.spec)
        preset = root.entries.get("isPreset")
        tag = request.tag or LATEST
        name = f"{request.parent}/components/{request.component_id}/versions/{tag}"
        new = pb.ComponentRegistered(
            name=name,
            spec=request.spec,
            digest=digest_of(request.spec),
            is_preset=isinstance(preset, Scalar) and preset.value is True,
            description=request.description,
        )
        outcome = await self.ledger.execute(
            COMPONENT,
            stream_of(name),
            name,
            lambda state: register_component(state, new),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        component = _registered(outcome.state.registered or new)
        component.creator = context.actor
        return component

    async def get_component(
        self, request: pb.GetComponentRequest, context: CallContext
    ) -> pb.Component:
        """Reads one version; `latest` when none is named."""
        position = await self._position(request.as_of, context)
        org, component, tag = component_key(request.name)
        row = await self.store.component(org, component, tag, position)
        if row is None:
            raise NotFound(
                f"there is no component {component}:{tag} in orgs/{org}", resource=request.name
            )
        stages = await self.store.component_stages(org, [component], position)
        return _component(row, stages.get((component, row.tag), ()))

    async def set_component_stage(
        self, request: pb.SetComponentStageRequest, context: CallContext
    ) -> pb.Component:
        """Gives a stage to a version, or takes it away."""
        org, component, tag = component_key(request.name)
        # A write: its caller names no position, and may have registered the version just now.
        await self.progress.wait_for(await self.store.head())
        row = await self.store.component(org, component, tag)
        if row is None:
            raise NotFound(
                f"there is no component {component}:{tag} in orgs/{org}", resource=request.name
            )
        # The registry decides, by its policy; what it has decided is on the log.
        if request.removed:
            taken = pb.TakeStageRequest(
                name=request.name,
                stage=request.stage,
                reason=request.reason,
                request_id=request.request_id,
            )
            await self.client.call(StageService.TAKE_STAGE, taken, context)
        else:
            wish = pb.PromoteVersionRequest(
                name=request.name,
                stage=request.stage,
                reason=request.reason,
                now_or_fail=True,
                request_id=request.request_id,
            )
            await self.client.call(StageService.PROMOTE_VERSION, wish, context)
        await self.progress.wait_for(context.position)  # specs that name the stage find it
        stages = await self.store.component_stages(org, [component])
        return _component(row, stages.get((component, tag), ()))

    async def list_components(
        self, request: pb.ListComponentsRequest, context: CallContext
    ) -> pb.ListComponentsResponse:
        """Lists versions, by name and then newest first."""
        at = await self._position(request.as_of, context)
        org = request.parent.removeprefix("orgs/")
        size = request.page_size or paging.DEFAULT_PAGE
        name, _, position = paging.unpack(request.page_token).rpartition(":")
        if request.page_token and not position.isdigit():
            raise paging.foreign()
        after = (name, int(position)) if position else ("", _LAST)
        rows = await self.store.components(org, request.component_id, after, size + 1, at)
        page = rows[:size]
        stages = await self.store.component_stages(org, {row.component for row in page}, at)
        token = paging.pack(f"{page[-1].component}:{page[-1].position}") if len(rows) > size else ""
        return pb.ListComponentsResponse(
            components=[_component(row, stages.get((row.component, row.tag), ())) for row in page],
            next_page_token=token,
        )

    async def delete_component(
        self, request: pb.DeleteComponentRequest, context: CallContext
    ) -> pb.DeleteComponentResponse:
        """Removes a version, unless it has a stage."""
        org, component, tag = component_key(request.name)
        await self.progress.wait_for(await self.store.head())
        stages = (await self.store.component_stages(org, [component])).get((component, tag))
        if stages:
            raise FailedPrecondition(
                f"{component}:{tag} has {', '.join(stages)}: give it to another version first, or "
                "take it away",
                reason="PLACE_HELD",
                resource=request.name,
            )
        outcome = await self.ledger.execute(
            COMPONENT,
            stream_of(request.name),
            request.name,
            lambda state: delete_component(state, request.name),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.DeleteComponentResponse()

    async def _position(self, moment: pb.Moment, context: CallContext) -> int | None:
        """Returns the position of a moment that is named, None for now; the store has it then.

        Raises:
            InvalidArgument: it is a position and a time.
        """
        await self.progress.wait_for(context.min_position)
        if moment.position and moment.HasField("time"):
            raise InvalidArgument(
                "as_of is a position or a time, not both",
                violations=[Violation("as_of", "one_of", "give position or time")],
            )
        if moment.HasField("time"):
            position = await self.store.position_at(moment.time.ToDatetime(tzinfo=UTC))
        elif moment.position:
            position = min(moment.position, await self.store.head())
        else:
            return None
        await self.progress.wait_for(position)
        return position


def _registered(found: pb.ComponentRegistered) -> pb.Component:
    return pb.Component(
        name=found.name,
        spec=found.spec,
        digest=found.digest,
        is_preset=found.is_preset,
        description=found.description,
    )


def _component(row: ComponentRow, stages: Sequence[str]) -> pb.Component:
    component = pb.Component(
        name=f"orgs/{row.org_id}/components/{row.component}/versions/{row.tag}",
        spec=row.spec,
        digest=row.digest,
        is_preset=row.is_preset,
        description=row.description,
        creator=row.creator,
        stages=sorted(stages),
    )
    component.create_time.FromDatetime(row.create_time)
    return component
