"""What a receiver of OpenLineage is told: all of it, in order, however often it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import Unavailable
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.signals import LogSignal
from epochal_lineage.openlineage.emitting import Emitter
from epochal_lineage.openlineage.events import read
from google.protobuf.message import Message
from graph_world import GraphWorld, Told, dataset, model, opened, run


@dataclass
class Receiver:
    """Answers with the statuses it is given, then 200, and keeps what it answered with 200."""

    statuses: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    url: str = ""


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            receiver.authorizations.add(self.headers["authorization"])
            if status == 200:
                receiver.taken.append(json.loads(body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/api/v1/lineage"
    try:
        yield receiver
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


def emitter(world: GraphWorld, url: str) -> Emitter:
    return Emitter(
        world.pool,
        LogSignal(),
        EventCodec(Subjects(world.pool, SystemClock())),
        SystemClock(),
        url=url,
        api_key="key",
        namespace="epochal",
    )


def created(number: int, **more: Any) -> Told:
    name = run(number)
    stream = UUID(name.rpartition("/")[2])
    return Told(pb.RunCreated(name=name, display_name=f"train {number}", **more), stream=stream)


def of_run(payload: Message, number: int) -> Told:
    return Told(payload, resource=run(number))


async def test_a_run_s_life_is_told_in_the_words_of_openlineage(database: str) -> None:
    git = pb.GitState(commit="c" * 40, url="https://example.org/repo.git", branch="main")
    failed = pb.RunFailed(message="no disk")
    async with opened(database) as world, receiving() as receiver, httpx.AsyncClient() as http:
        telling = emitter(world, receiver.url)
        assert await telling.step(http) == 0
        await world.tell(
            created(1, description="trains"),
            created(2, pipeline=run(1)),
            of_run(pb.RunStarted(), 1),
            pb.DatasetUsed(run=run(1), dataset=dataset("raw", "1"), uri="s3://lake/raw/a"),
            pb.CaptureRecorded(run=run(1), capture=pb.Capture(git=git)),
            pb.DatasetProduced(run=run(1), dataset=dataset("clean", "2")),
            pb.ModelVersionUsed(run=run(1), model_version=model("digits", 3)),
            of_run(failed, 1),
            of_run(pb.RunSucceeded(), 2),
            pb.ModelVersionRegistered(name=model("digits", 4), version=4, run=run(1)),
            pb.ModelRegistered(name=model("other")),
            of_run(pb.RunSucceeded(), 3),  # of which no beginning is known
        )
        await telling.step(http)
    events = [read(json.dumps(one).encode()) for one in receiver.taken]
    assert receiver.authorizations == {"Bearer key"}
    assert [one.type for one in events] == [
        "START", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "FAIL", "COMPLETE", "OTHER",
    ]  # fmt: skip
    assert all(one.job is not None and one.job.namespace == "epochal/acme/vision" for one in events)
    (raw,) = events[1].inputs
    assert (raw.namespace, raw.name) == ("epochal/acme/vision", "raw")
    assert raw.facets["version"]["datasetVersion"] == "1"
    assert raw.facets["symlinks"]["identifiers"][0]["namespace"] == "s3://lake"
    assert events[2].job is not None
    assert events[2].job.facets["sourceCodeLocation"]["version"] == "c" * 40
    assert events[3].outputs[0].name == "clean"
    assert events[4].inputs[0].name == "models/digits"
    assert events[5].run_facets["errorMessage"]["message"] == "no disk"
    assert events[6].run_facets["parent"]["run"]["runId"] == run(1).rpartition("/")[2]
    assert events[6].run_facets["parent"]["job"]["name"] == "train 1"
    assert events[7].outputs[0].facets["version"]["datasetVersion"] == "4"
    assert events[0].run_facets["epochal_event"]["position"] == 3


async def test_a_receiver_that_was_away_misses_nothing_and_a_refusal_is_passed(
    database: str,
) -> None:
    async with opened(database) as world, receiving() as receiver, httpx.AsyncClient() as http:
        telling = emitter(world, receiver.url)
        await telling.step(http)
        await world.tell(created(1), of_run(pb.RunStarted(), 1), of_run(pb.RunSucceeded(), 1))
        for status in (503, 429, 401):
            receiver.statuses = [status]
            with pytest.raises(Unavailable, match=str(status)):
                await telling.step(http)
        receiver.statuses = [400]
        await emitter(world, receiver.url).step(http)  # another process takes over
        assert [one["eventType"] for one in receiver.taken] == ["COMPLETE"]
        assert await telling.step(http) == 3
        assert len(receiver.taken) == 1
        gone = emitter(world, "http://127.0.0.1:1/x")
        await gone.step(http)  # a new receiver begins at the end
        await world.tell(of_run(pb.RunStarted(), 1))
        with pytest.raises(Unavailable, match="does not answer"):
            await gone.step(http)
