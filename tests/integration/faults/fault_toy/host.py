"""A real service process on the real kernel, small enough to know what it should have done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Parts, run_service
from epochal_kernel.runtime.settings import ServiceSettings
from epochal_proto.v1.services import TrackingService

sys.path.insert(0, str(Path(__file__).parents[1]))

from fault_toy.model import READ_MODEL, IntentReactor


class TagsAggregate:
    """Counts what was set."""

    category = "telemetry"

    def initial(self):
        return 0

    def evolve(self, state, event):
        return state + 1


async def build(kernel):
    aggregate = TagsAggregate()

    async def set_tags(request, context):
        outcome = await kernel.ledger.execute(
            aggregate,
            UUID(request.run.rsplit("/", 1)[-1]),
            request.run,
            lambda _: [pb.TagsSet(run=request.run, tags=request.tags)],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.SetTagsResponse()

    kernel.server.unary(TrackingService.SET_TAGS, set_tags)
    return Parts(reactors=[IntentReactor()])


def main():
    settings = ServiceSettings()
    configure_logs("toy", settings.log_level)
    asyncio.run(run_service(settings, READ_MODEL, "fault_toy", build))


if __name__ == "__main__":
    main()
