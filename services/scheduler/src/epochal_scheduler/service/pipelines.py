"""RunService, as far as it tells of pipelines before they run: previews, dry runs, events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, Violation
from epochal_kernel.ids import Ids, Position
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.rpc.context import CallContext

from epochal_scheduler.domain.schedules.ticks import preview
from epochal_scheduler.service.compiling import SpecCompiler
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.publishing import json_schema
from epochal_scheduler.texts import assert_storable
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.happenings import happening
from epochal_scheduler.working.matching import Matcher
from epochal_scheduler.working.pipelines.schedule import schedule_plan

DEFAULT_TICKS = 10
DEFAULT_EVENTS = 1_000
MOST_MATCHES = 200
PAGE = 1_000
_NIL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class PipelineServer:
    """Handlers of RunService about schedules, triggers and events."""

    commands: RunCommands
    compiler: SpecCompiler
    appender: Appender
    reader: LogReader
    codec: EventCodec
    ids: Ids

    async def preview_schedule(
        self, request: pb.PreviewScheduleRequest, context: CallContext
    ) -> pb.PreviewScheduleResponse:
        """Returns the next ticks of a schedule."""
        spec = request.spec if request.WhichOneof("source") == "spec" else b""
        plan, since = await self._plan(request.parent, spec, request.name, context)
        if plan.schedule is None:
            message = "it has no schedule; add one, or name a run of kind schedule"
            raise InvalidArgument(message, violations=[Violation("spec", "no_schedule", message)])
        now = self.commands.clock.now()
        made = schedule_plan(plan.schedule, request.name, since)
        times = preview(made, now, request.count or DEFAULT_TICKS)
        response = pb.PreviewScheduleResponse(timezone=plan.schedule.timezone)
        for time in times:
            response.times.add().FromDatetime(time)
        return response

    async def test_trigger(
        self, request: pb.TestTriggerRequest, context: CallContext
    ) -> pb.TestTriggerResponse:
        """Returns which of the newest events would have fired a trigger."""
        spec = request.spec if request.WhichOneof("source") == "spec" else b""
        plan, _ = await self._plan(request.parent, spec, request.name, context)
        if not plan.events:
            message = "it waits for no events; add 'events', or name a run of kind trigger"
            raise InvalidArgument(message, violations=[Violation("spec", "no_events", message)])
        matchers = [Matcher(rule, request.parent, request.name) for rule in plan.events]
        head = await self.reader.head()
        wanted = request.events or DEFAULT_EVENTS
        response = pb.TestTriggerResponse(events=min(wanted, head.position))
        fired: dict[int, datetime] = {}
        found: list[pb.TriggerMatch] = []
        position = max(0, head.position - wanted)
        while position < head.position:
            records = await self.reader.page(
                Position(position), min(PAGE, head.position - position)
            )
            if not records:
                break
            for record in records:
                position = record.position
                if record.org_id != request.parent.split("/")[1]:
                    continue
                event = await self.codec.decode_payload(
                    record.type, record.payload, record.position
                )
                what = happening(event, record.resource, record.position, record.recorded_at)
                if what is None:
                    continue
                for index, matcher in enumerate(matchers):
                    verdict = matcher.judge(what)
                    if verdict is None:
                        continue
                    counts, reason = verdict.counts, verdict.reason
                    debounce = matcher.rule.debounce
                    last = fired.get(index)
                    if counts and debounce and last and what.at - last < debounce:
                        reason += f"; joined with the one before within {debounce}"
                        counts = False
                    if verdict.counts:
                        fired[index] = what.at
                    match = pb.TriggerMatch(
                        position=what.position,
                        kind=what.kinds[0],
                        resource=what.resource,
                        fires=counts,
                        reason=reason,
                    )
                    match.time.FromDatetime(what.at)
                    found.append(match)
        response.matches.extend(reversed(found[-MOST_MATCHES:]))
        return response

    async def emit_event(
        self, request: pb.EmitEventRequest, context: CallContext
    ) -> pb.EmitEventResponse:
        """Records an event of the caller's own."""
        assert_storable(request)
        command = context.command(request, request.request_id)
        event = pb.CustomEventEmitted(
            project=request.parent, kind=request.kind, attributes=request.attributes
        )
        stream = Stream("pipeline", command.command_id)
        appended = await self.appender.append(
            Command(command, stream, None, [NewEvent(event, request.parent)])
        )
        context.wrote(appended.last_position)
        return pb.EmitEventResponse(position=appended.last_position)

    async def get_spec_schema(
        self, request: pb.GetSpecSchemaRequest, context: CallContext
    ) -> pb.SpecSchema:
        """Returns the JSON Schema of polyaxonfiles."""
        return pb.SpecSchema(json=json.dumps(json_schema()))

    async def _plan(
        self, parent: str, spec: bytes, name: str, context: CallContext
    ) -> tuple[OperationPlan, datetime]:
        now = self.commands.clock.now()
        if spec:
            _, org, _, project = parent.split("/")
            scope = RunScope(org, project, _NIL, context.actor, now)
            compiled, _ = await self.compiler.compile([spec], {}, scope)
            return compiled.plan, now
        if not name.startswith(parent + "/runs/"):
            message = f"'{name}' is no run of {parent}"
            raise InvalidArgument(message, violations=[Violation("name", "of_parent", message)])
        state = await self.commands.load_named(name)
        if not state.created.compiled_json:
            raise FailedPrecondition(f"{name} was not made from a spec", resource=name)
        return OperationPlan.from_json(state.created.compiled_json), now
