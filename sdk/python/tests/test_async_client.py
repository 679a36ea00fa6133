"""The client for asyncio keeps the promises of the other one: retries, positions, errors, moves."""

import asyncio

import epochal_proto.v1 as pb
import pytest
from epochal import aio, config
from epochal.aio import AsyncClient
from epochal.errors import InvalidArgument, NotFound, PlatformUnreachable, Unavailable
from epochal_proto.v1.services import RunService, TrackingService

PROJECT = "orgs/default/projects/main"


def made(request_id=""):
    return pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun(), request_id=request_id)


async def at_once(_):
    """No test waits for a backoff."""


def client():
    return AsyncClient(config.find(), refresh=config.find, sleep=at_once)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_a_lost_reply_is_asked_for_again_and_done_once(platform):
    async def called():
        async with client() as opened:
            platform.lose_reply("CreateRun")
            answer = await opened.call(RunService.CREATE_RUN, made())
            return answer, opened.position

    answer, position = run(called())
    assert list(platform.world.runs) == [answer.name]
    assert platform.count("CreateRun") == 2
    ids = {one.request_id for one in platform.requests("CreateRun")}
    assert len(ids) == 1
    assert position == platform.world.position


def test_a_read_asks_for_what_was_written(platform):
    async def called():
        async with client() as opened:
            answer = await opened.call(RunService.CREATE_RUN, made())
            await opened.call(RunService.GET_RUN, pb.GetRunRequest(name=answer.name))

    run(called())
    assert platform.last_metadata["epochal-min-position"] == str(platform.world.position)


def test_errors_are_typed_and_not_repeated(platform):
    async def called():
        async with client() as opened:
            await opened.call(RunService.GET_RUN, pb.GetRunRequest(name=f"{PROJECT}/runs/x"))

    with pytest.raises(NotFound):
        run(called())
    platform.fail("GetRun", "INVALID_ARGUMENT", violations=[("name", "uuid", "no uuid")])
    with pytest.raises(InvalidArgument) as refused:
        run(called())
    assert refused.value.violations[0].field == "name"
    assert platform.count("GetRun") == 2


def test_calls_run_side_by_side_and_a_stream_ends_when_it_is_left(platform):
    async def called():
        async with client() as opened:
            runs = await asyncio.gather(
                *(opened.call(RunService.CREATE_RUN, made()) for _ in range(20))
            )
            name, producer = runs[0].name, "p"
            request = pb.OpenProducerRequest(run=name, producer=producer)
            await opened.call(TrackingService.OPEN_PRODUCER, request)
            watch = pb.WatchProducerCursorRequest(run=name, producer=producer)
            stream = opened.stream(TrackingService.WATCH_PRODUCER_CURSOR, watch)
            first = await anext(stream)
            await stream.aclose()
            return runs, first

    runs, cursor = run(called())
    assert len({one.name for one in runs}) == 20
    assert cursor.epoch == 1


@pytest.mark.parametrize("limit", [0, 2, 5])
def test_a_search_goes_on_to_its_limit(platform, monkeypatch, limit):
    monkeypatch.setattr(aio, "PAGE", 2)

    async def called():
        async with client() as opened:
            for _ in range(5):
                await opened.call(RunService.CREATE_RUN, made())
            return await aio.search_runs(opened, "status:running", limit=limit)

    found = run(called())
    newest = [one.name for one in reversed(platform.world.runs.values())]
    assert [one.name for one in found] == newest[: limit or 5]
    assert {one.filter for one in platform.requests("SearchRuns")} == {"status:running"}


def test_a_platform_that_moved_is_found_again(platform):
    async def called():
        async with client() as opened:
            answer = await opened.call(RunService.CREATE_RUN, made())
            await asyncio.to_thread(platform.restart)
            return await opened.call(
                RunService.GET_RUN, pb.GetRunRequest(name=answer.name), patience_s=20
            )

    assert run(called()).name in platform.world.runs


def test_a_platform_that_is_not_there_is_said_so(platform):
    platform.stop()

    async def called():
        async with client() as opened:
            await opened.call(
                RunService.GET_RUN, pb.GetRunRequest(name="x"), timeout_s=0.2, patience_s=0.1
            )

    with pytest.raises((PlatformUnreachable, Unavailable)):
        run(called())
