"""Which controller runs a pipeline, with everything it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.errors import Internal
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.feed import Fact
from epochal_scheduler.working.happenings import Happening, happening
from epochal_scheduler.working.making import RunMaker
from epochal_scheduler.working.pipelines.children import Nursery
from epochal_scheduler.working.pipelines.dag import DagController
from epochal_scheduler.working.pipelines.forking import Forks
from epochal_scheduler.working.pipelines.matrix import MatrixController
from epochal_scheduler.working.pipelines.pipeline import Controller, Pipeline
from epochal_scheduler.working.pipelines.sampling import MetricReader
from epochal_scheduler.working.pipelines.schedule import ScheduleController
from epochal_scheduler.working.pipelines.sweeping import WarmStarter
from epochal_scheduler.working.pipelines.trigger import TriggerController
from epochal_scheduler.working.resolving import Resolver

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Controllers:
    """Makes controllers."""

    commands: RunCommands
    admission: Admission
    maker: RunMaker
    resolver: Resolver
    bell: StopBell
    forks: Forks
    metrics: MetricReader
    reader: LogReader
    codec: EventCodec

    async def make(self, pipeline: Pipeline, state: RunState) -> Controller:
        """Returns the controller of a pipeline.

        Raises:
            EpochalError: what it was forked from cannot be read.
        """
        compiler = ChildCompiler(pipeline.plan)
        nursery = Nursery(
            pipeline, compiler, self.commands, self.admission, self.maker, self.resolver, self.bell
        )
        match pipeline.created.kind:
            case pb.RUN_KIND_DAG:
                controller = DagController(pipeline, nursery)
                if pipeline.created.fork_steps:
                    origin = await self.commands.load(run_id_of(pipeline.created.origin))
                    plan = OperationPlan.from_json(origin.created.compiled_json)
                    steps = list(pipeline.created.fork_steps)
                    controller.forked.update(await self.forks.reused(origin, plan, steps))
                return controller
            case pb.RUN_KIND_SCHEDULE:
                begun_at = await self._begun_at(pipeline)
                return ScheduleController(replace(pipeline, begun_at=begun_at), nursery)
            case pb.RUN_KIND_TRIGGER:
                return TriggerController(pipeline, nursery, self._missed, self.resolver)
            case pb.RUN_KIND_MATRIX | pb.RUN_KIND_BACKFILL:
                return MatrixController(pipeline, nursery, self.metrics, WarmStarter(self.resolver))
            case kind:
                raise Internal(f"{pipeline.name} is no pipeline but {kind}")

    async def _begun_at(self, pipeline: Pipeline) -> datetime:
        """Returns when a pipeline was begun, as the log has it.

        Ticks are counted from there: by the clock of the process that heard of it first they would
        move with each process that takes the schedule up, and one could fire twice.
        """
        async for record in self.reader.stream("run", pipeline.id):
            if record.position == pipeline.begun:
                return record.recorded_at
        return pipeline.begun_at

    async def _missed(self, after: int) -> AsyncIterator[Happening]:
        """Reads what happened after a position."""
        while records := await self.reader.page(Position(after), PAGE):
            for record in records:
                after = record.position
                event = await self.codec.decode(record)
                found = happening(
                    event.payload, event.resource, event.position, event.recorded_at, event.actor
                )
                if found is not None:
                    yield found


def happening_of(fact: Fact) -> Happening | None:
    """Returns a fact as triggers see it."""
    return happening(fact.event, fact.resource, fact.position, fact.at, fact.actor)
