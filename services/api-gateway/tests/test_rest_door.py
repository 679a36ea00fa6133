"""The REST door over real HTTP semantics, with a dispatcher that only notes what it is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal_gateway.doors.dispatch import Answer, Caller
from epochal_gateway.doors.rest_door import RestDoor
from epochal_kernel.errors import Aborted, EpochalError, NotFound
from epochal_proto.method import AnyMethod
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

RUN = "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001"


class FakeDispatcher:
    """Answers with what a test put there."""

    def __init__(self) -> None:
        self.asked: list[tuple[AnyMethod, Message, Caller]] = []
        self.answer: Answer | EpochalError = Answer(b"", 0)
        self.items: list[Message | EpochalError] = []
        self.closed = False

    async def unary(self, method: AnyMethod, request: Message, caller: Caller) -> Answer:
        self.asked.append((method, request, caller))
        if isinstance(self.answer, EpochalError):
            raise self.answer
        return self.answer

    async def stream(
        self, method: AnyMethod, request: Message, caller: Caller
    ) -> AsyncIterator[bytes]:
        self.asked.append((method, request, caller))
        try:
            for item in self.items:
                if isinstance(item, EpochalError):
                    raise item
                yield item.SerializeToString()
        finally:
            self.closed = True


@pytest.fixture
def dispatcher() -> FakeDispatcher:
    return FakeDispatcher()


@pytest.fixture
def client(dispatcher: FakeDispatcher) -> httpx.AsyncClient:
    door = RestDoor(dispatcher, max_body_bytes=1_000)

    async def serve(request: Request) -> Response:
        return await door(request)

    verbs = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", serve, methods=verbs)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


async def test_a_write_tells_its_position_and_a_read_none(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    dispatcher.answer = Answer(pb.Run(name=RUN).SerializeToString(), 42)
    written = await client.post(f"/v1/{RUN}:stop", json={"reason": "enough"})
    assert (written.status_code, written.headers["epochal-position"]) == (200, "42")
    assert written.json()["name"] == RUN
    dispatcher.answer = Answer(b"", 0)
    assert "epochal-position" not in (await client.get(f"/v1/{RUN}")).headers
    assert dispatcher.asked[0][1] == pb.StopRunRequest(name=RUN, reason="enough")


async def test_headers_say_who_calls_and_what_it_has_seen(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    await client.get(
        f"/v1/{RUN}",
        headers={"authorization": "Bearer s", "epochal-min-position": "7", "traceparent": "00-1"},
    )
    caller = dispatcher.asked[0][2]
    assert (caller.authorization, caller.min_position, caller.traceparent) == (
        "Bearer s",
        7,
        "00-1",
    )


@pytest.mark.parametrize("position", ["-1", "x", "1.5", "1" * 19, ""])
async def test_a_position_that_is_none_is_refused(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher, position: str
) -> None:
    answer = await client.get(f"/v1/{RUN}", headers={"epochal-min-position": position})
    assert answer.status_code == 400
    assert dispatcher.asked == []


@pytest.mark.parametrize("metric", ["loss?x=1", "a#b", "val/loss", "50 %", "a%2Fb", "é:tail"])
async def test_a_metric_with_signs_of_urls_in_its_name_is_found(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher, metric: str
) -> None:
    dispatcher.answer = Answer(pb.MetricSeries().SerializeToString(), 0)
    answer = await client.get(f"/v1/{RUN}/metrics/{_quoted(metric)}")
    assert answer.status_code == 200, answer.text
    (_, request, _) = dispatcher.asked[0]
    assert request == pb.GetMetricSeriesRequest(run=RUN, metric=metric)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_a_path_that_is_none_and_a_verb_that_is_wrong_are_told_apart(
    client: httpx.AsyncClient,
) -> None:
    nothing = await client.get("/v1/orgs/acme/nothing")
    assert (nothing.status_code, nothing.json()["reason"]) == (404, "NO_ROUTE")
    wrong = await client.delete(f"/v1/{RUN}")
    assert (wrong.status_code, wrong.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in wrong.json()["detail"]


async def test_a_body_too_large_is_refused_before_it_is_read(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    answer = await client.post(f"/v1/{RUN}:stop", content=b"x" * 1_001)
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert dispatcher.asked == []


async def test_an_error_is_a_problem(client: httpx.AsyncClient, dispatcher: FakeDispatcher) -> None:
    dispatcher.answer = Aborted("changed", reason="ETAG_MISMATCH", resource=RUN)
    answer = await client.get(f"/v1/{RUN}")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["resource"] == RUN


def events(text: str) -> list[tuple[str, object]]:
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


async def test_a_stream_is_sent_as_events_and_says_that_it_ended(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    dispatcher.items = [pb.Run(name=RUN, message="two\nlines"), pb.Run(name=RUN, attempt=2)]
    answer = await client.get(f"/v1/{RUN}:watch")
    assert answer.headers["content-type"].startswith("text/event-stream")
    (first, second, end) = events(answer.text)
    assert first == ("message", {"name": RUN, "message": "two\nlines"})
    assert second == ("message", {"name": RUN, "attempt": 2})
    assert end == ("end", {})
    assert dispatcher.closed


async def test_a_stream_that_is_empty_just_ends(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    assert events((await client.get(f"/v1/{RUN}:watch")).text) == [("end", {})]


async def test_an_error_before_the_first_item_is_an_ordinary_problem(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    dispatcher.items = [NotFound("no run")]
    answer = await client.get(f"/v1/{RUN}:watch")
    assert (answer.status_code, answer.json()["detail"]) == (404, "no run")


async def test_an_error_in_the_middle_is_the_last_event(
    client: httpx.AsyncClient, dispatcher: FakeDispatcher
) -> None:
    dispatcher.items = [pb.Run(name=RUN), Aborted("gone", reason="GONE")]
    (first, last) = events((await client.get(f"/v1/{RUN}:watch")).text)
    assert first[0] == "message"
    assert last[0] == "error"
    assert last[1]["reason"] == "GONE"
