"""The door to services: real servers on both sides, over HTTP and WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import epochal_proto.v1 as pb
import httpx
import pytest
import pytest_asyncio
from epochal_gateway.domain.served import Served, ServedAggregate
from epochal_gateway.doors.dispatch import Caller
from epochal_gateway.doors.service_access import ServiceAccess
from epochal_gateway.doors.service_door import BARE_ROUTE, ROUTE, ServiceDoor
from epochal_gateway.doors.service_sockets import ServiceSockets
from epochal_gateway.identity.authentication import Identity
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import PermissionDenied, Unauthenticated
from epochal_kernel.runtime.health import serve_http
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

UID = "0193a000-0000-7000-8000-000000000001"
RUN = f"orgs/acme/projects/vision/runs/{UID}"
PREFIX = f"/services/v1/{RUN}"
BEARER = {"authorization": "Bearer epo_secret"}


class FakeDispatcher:
    """Knows one secret."""

    def identify(self, caller: Caller) -> Identity:
        if caller.authorization != "Bearer epo_secret":
            raise Unauthenticated("this token is not known")
        return Identity("users/alice", "tokens/1")


class FakeAuthorizer:
    """Lets everybody read, until told not to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refuses = False

    def check(self, identity: Identity, permission: str, resource: str, *, write: bool) -> None:
        self.asked.append((permission, resource))
        if self.refuses:
            raise PermissionDenied("no")


class FakeLedger:
    """One run, as its events have it."""

    def __init__(self) -> None:
        self.events: list[Message] = []

    async def load(self, aggregate: ServedAggregate, stream_id: UUID) -> tuple[Served, int]:
        assert stream_id == UUID(UID)
        state = aggregate.initial()
        for event in self.events:
            state = aggregate.evolve(state, event)
        return state, len(self.events)


class FakeClock(SystemClock):
    """Turned by hand."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class FakeBus:
    """Notes what is published."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.client = self

    async def publish(self, subject: str, payload: bytes) -> None:
        self.subjects.append(subject)


async def echo(request: Request) -> Response:
    """Tells what came."""
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": dict(request.headers),
            "size": len(body),
        },
        201,
        {"set-cookie": "theirs=1; Path=/", "connection": "x-hop", "x-hop": "1", "x-own": "2"},
    )


async def endless(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(parts(), media_type="text/event-stream")


async def moved(request: Request) -> Response:
    return RedirectResponse("/login")


async def talk(socket: WebSocket) -> None:
    """Says back what it hears; ends with its own code when asked."""
    if "deny" in socket.query_params:
        await socket.close()
        return
    protocols: Sequence[str] = socket.scope["subprotocols"]
    await socket.accept(protocols[0] if protocols else None)
    await socket.send_json({"cookie": socket.headers.get("cookie", ""), "path": socket.url.path})
    while True:
        try:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
        except WebSocketDisconnect:
            return
        if message.get("text") == "bye":
            await socket.close(4001, "as asked")
            return
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


SERVICE = Starlette(
    routes=[
        Route("/{p:path}/moved", moved),
        Route("/moved", moved),
        Route("/{p:path}/endless", endless),
        WebSocketRoute("/{p:path}", talk),
        Route("/{p:path}", echo, methods=["GET", "POST", "DELETE"]),
    ]
)


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[int]:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_http(app, "127.0.0.1", 0, on_bound=bound.set_result))
    try:
        yield await bound
    finally:
        task.cancel()
        await asyncio.wait({task})


class Door:
    """A gateway that has only this door, and a service behind it."""

    def __init__(self, port: int) -> None:
        self.service_port = port
        self.ledger, self.authorizer = FakeLedger(), FakeAuthorizer()
        self.bus, self.clock = FakeBus(), FakeClock()
        self.url = ""
        access = ServiceAccess(FakeDispatcher(), self.authorizer, self.ledger, self.bus, self.clock)
        self.http = door = ServiceDoor(access)
        sockets = ServiceSockets(access)

        async def http(request: Request) -> Response:
            return await door(request)

        async def socket(socket: WebSocket) -> None:
            await sockets(socket)

        verbs = ["GET", "HEAD", "POST", "DELETE"]
        self.app = Starlette(
            routes=[
                Route(BARE_ROUTE, http),
                Route(ROUTE, http, methods=verbs),
                WebSocketRoute(ROUTE, socket),
            ]
        )

    def ready(self, *, rewrite: bool = False, port: int = 0) -> None:
        compiled = json.dumps({"run": {"kind": "service", "rewritePath": rewrite}})
        created = pb.RunCreated(name=RUN, kind=pb.RUN_KIND_SERVICE, compiled_json=compiled)
        ready = pb.RunServiceReady(host="127.0.0.1", ports=[port or self.service_port])
        self.ledger.events = [created, pb.RunStarted(), ready]
        self.clock.now_s += 10

    def then(self, *events: Message) -> None:
        self.ledger.events += events
        self.clock.now_s += 1


@pytest_asyncio.fixture(loop_scope="session")
async def door() -> AsyncIterator[Door]:
    async with serving(SERVICE) as port:
        made = Door(port)
        async with serving(made.app) as own:
            made.url = f"http://127.0.0.1:{own}"
            made.ready()
            yield made
        await made.http.close()


@pytest_asyncio.fixture(loop_scope="session")
async def client(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as made:
        yield made


async def test_a_request_is_passed_on_and_its_answer_back(
    door: Door, client: httpx.AsyncClient
) -> None:
    answer = await client.post(
        f"{PREFIX}/a%2Fb?x=1&x=2",
        headers={**BEARER, "connection": "x-mine, keep-alive", "x-mine": "1", "x-kept": "2"},
        content=b"z" * 3_000_000,
    )
    assert answer.status_code == 201
    told = answer.json()
    assert (told["method"], told["path"]) == ("POST", f"{PREFIX}/a%2Fb")
    assert (told["query"], told["size"]) == ("x=1&x=2", 3_000_000)
    sent = told["headers"]
    assert "authorization" not in sent
    assert "x-mine" not in sent
    assert (sent["x-kept"], sent["x-forwarded-prefix"]) == ("2", PREFIX)
    assert sent["x-forwarded-host"] == door.url.removeprefix("http://")
    assert answer.headers["set-cookie"] == "theirs=1; Path=/"
    assert (answer.headers["x-own"], "x-hop" in answer.headers) == ("2", False)
    assert door.authorizer.asked == [("run.read", RUN)]


async def test_a_service_that_wants_it_sees_no_prefix(
    door: Door, client: httpx.AsyncClient
) -> None:
    door.ready(rewrite=True)
    assert (await client.get(f"{PREFIX}/a/b", headers=BEARER)).json()["path"] == "/a/b"
    assert (await client.get(f"{PREFIX}/", headers=BEARER)).json()["path"] == "/"
    answer = await client.get(f"{PREFIX}/moved", headers=BEARER)
    assert answer.headers["location"] == f"{PREFIX}/login"


async def test_a_service_that_knows_its_prefix_redirects_as_it_likes(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get(f"{PREFIX}/moved", headers=BEARER)
    assert answer.headers["location"] == "/login"


async def test_the_bare_name_leads_to_the_service(client: httpx.AsyncClient) -> None:
    answer = await client.get(PREFIX, headers=BEARER)
    assert answer.headers["location"] == f"{PREFIX}/"


async def test_an_answer_without_end_comes_as_it_is_made(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", f"{PREFIX}/endless", headers=BEARER) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for piece in answer.aiter_raw():
            assert piece.startswith(b"data: tick")
            break


async def test_nobody_comes_in_without_a_right(door: Door, client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{PREFIX}/")).status_code == 401
    door.authorizer.refuses = True
    assert (await client.get(f"{PREFIX}/", headers=BEARER)).status_code == 403


async def test_a_browser_keeps_the_secret_in_a_cookie_that_the_service_never_sees(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get(f"{PREFIX}/a?x=1&epochal_token=epo_secret")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{PREFIX}/a?x=1"
    kept = answer.headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=Lax" in kept
    assert f"Path={PREFIX}" in kept
    cookie = kept.partition(";")[0]
    answer = await client.get(f"{PREFIX}/a", headers={"cookie": f"a=1; {cookie}; b=2"})
    assert answer.json()["headers"]["cookie"] == "a=1; b=2"
    client.cookies.clear()
    answer = await client.get(f"{PREFIX}/a", headers={"cookie": cookie})
    assert "cookie" not in answer.json()["headers"]


async def test_what_a_service_sets_for_one_caller_no_other_sends(
    door: Door, client: httpx.AsyncClient
) -> None:
    await client.get(f"{PREFIX}/a", headers=BEARER)
    assert client.cookies["theirs"] == "1"
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as other:
        answer = await other.get(f"{PREFIX}/a", headers=BEARER)
    assert "cookie" not in answer.json()["headers"]


async def test_another_site_s_page_may_not_use_the_cookie(
    door: Door, client: httpx.AsyncClient
) -> None:
    cookie = {"cookie": "epochal_service=epo_secret"}
    answer = await client.post(f"{PREFIX}/a", headers={**cookie, "origin": "https://evil.test"})
    assert answer.status_code == 403
    answer = await client.post(f"{PREFIX}/a", headers={**cookie, "origin": door.url})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (pb.RunQueued(), "has not started yet"),
        (pb.RunStarted(), "does not answer on its port yet"),
        (pb.RunProcessExited(exit_code=3), "exit code 3"),
        (pb.RunStopRequested(), "being stopped"),
        (pb.RunAttemptLost(), "agent was lost"),
        (pb.RunStopped(), "has ended"),
        (pb.RunPreempted(), "does not run"),
    ],
)
async def test_a_service_that_does_not_answer_says_why(
    door: Door, client: httpx.AsyncClient, event: Message, says: str
) -> None:
    door.then(event)
    answer = await client.get(f"{PREFIX}/", headers=BEARER)
    assert (answer.status_code, answer.json()["reason"]) == (503, "SERVICE_NOT_READY")
    assert says in answer.json()["detail"]


async def test_a_service_that_died_unseen_is_a_bad_gateway(
    door: Door, client: httpx.AsyncClient
) -> None:
    door.ready(port=1)
    answer = await client.get(f"{PREFIX}/", headers=BEARER)
    assert (answer.status_code, answer.json()["reason"]) == (502, "SERVICE_UNREACHABLE")


async def test_other_runs_have_no_service(door: Door, client: httpx.AsyncClient) -> None:
    door.ledger.events = []
    door.clock.now_s += 1
    answer = await client.get(f"{PREFIX}/", headers=BEARER)
    assert (answer.status_code, "there is no" in answer.json()["detail"]) == (404, True)
    door.then(pb.RunCreated(name=RUN, kind=pb.RUN_KIND_JOB, compiled_json="nonsense"))
    answer = await client.get(f"{PREFIX}/", headers=BEARER)
    assert "is no service" in answer.json()["detail"]
    other = PREFIX.replace(UID, "x")
    assert (await client.get(f"{other}/", headers=BEARER)).status_code == 404


async def test_a_run_of_another_project_is_not_found_by_its_id(
    door: Door, client: httpx.AsyncClient
) -> None:
    other = PREFIX.replace("vision", "mine")
    assert (await client.get(f"{other}/", headers=BEARER)).status_code == 404
    braced = PREFIX.replace(UID, f"{{{UID}}}")
    assert (await client.get(f"{braced}/", headers=BEARER)).status_code == 404
    assert (await client.get(f"{PREFIX}/", headers=BEARER)).status_code == 201


async def test_the_agent_hears_of_use_once_in_a_while(
    door: Door, client: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await client.get(f"{PREFIX}/", headers=BEARER)
    assert door.bus.subjects == [f"activity.v1.{UID}"]
    door.clock.now_s += 10
    await client.get(f"{PREFIX}/", headers=BEARER)
    assert len(door.bus.subjects) == 2


def socket_url(door: Door) -> str:
    return door.url.replace("http", "ws") + f"{PREFIX}/kernel"


async def test_websockets_are_passed_both_ways(door: Door) -> None:
    headers = {**BEARER, "cookie": "epochal_service=x; a=1"}
    async with connect(
        socket_url(door),
        additional_headers=headers,
        subprotocols=["v1.kernel"],
        proxy=None,
        max_size=None,
    ) as socket:
        assert socket.subprotocol == "v1.kernel"
        told = json.loads(await socket.recv())
        assert told == {"cookie": "a=1", "path": f"{PREFIX}/kernel"}
        await socket.send("text")
        assert await socket.recv() == "text"
        await socket.send(b"\x00\xff" * 1_000_000)
        assert await socket.recv() == b"\x00\xff" * 1_000_000
        await socket.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")


async def test_a_websocket_without_a_right_or_a_service_is_refused(door: Door) -> None:
    for headers, query, status in (({}, "", 401), (BEARER, "?deny=1", 503)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(socket_url(door) + query, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == status


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=10))
def test_every_history_folds_and_a_service_that_ended_has_no_place(history: list[Message]) -> None:
    aggregate = ServedAggregate()
    state = aggregate.initial()
    for event in [*history, pb.RunStopped()]:
        state = aggregate.evolve(state, event)
    assert not state.host
