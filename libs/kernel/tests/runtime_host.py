"""A service process on the runtime, told by its environment and by tags how to behave."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_kernel.runtime.settings import ServiceSettings
from epochal_proto.v1.services import TrackingService

sys.path.insert(0, str(Path(__file__).parent))

from kernel_toy import Intents, model


async def build(kernel: Kernel) -> Parts:
    release = asyncio.Event()

    async def set_tags(request: pb.SetTagsRequest, context: CallContext) -> pb.SetTagsResponse:
        if "wait" in request.tags:
            print("the call is here", flush=True)
            while "shutdown" not in kernel.health.problems():
                await kernel.clock.sleep(0.01)
        stream = Stream("telemetry", UUID(request.run.rsplit("/", 1)[-1]))
        event = NewEvent(pb.TagsSet(run=request.run, tags=request.tags), request.run)
        appended = await kernel.appender.append(
            Command(context.command(request, request.request_id), stream, None, [event])
        )
        context.wrote(appended.last_position)
        return pb.SetTagsResponse()

    async def fail() -> None:
        await kernel.bus.wait_connected(None)
        raise RuntimeError("a part of the service failed")

    async def idle() -> None:
        await release.wait()

    kernel.server.unary(TrackingService.SET_TAGS, set_tags)
    background = fail if os.environ.get("TOY_FAILS") else idle
    return Parts(reactors=[Intents()], background=[background])


def main() -> None:
    settings = ServiceSettings()
    configure_logs("toy", settings.log_level)
    asyncio.run(run_service(settings, model(), "runtime_toy", build))


if __name__ == "__main__":
    main()
