"""Services: real servers on ports the agent found, told when they answer, ended when idle."""

import asyncio
import socket

import pytest
from agent_fakes import RUN, FakeScheduler, executing, host, work_item
from epochal_scheduler.agent.hosting import find_ports
from epochal_scheduler.agent.launching import plan_launch
from epochal_scheduler.agent.probing import has_connections, http_get
from epochal_testing.waiting import until

SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path in ("/ready", "/status", "/old")
        self.send_response(200 if ok else 404)
        self.end_headers()
        if self.path == "/status": self.wfile.write(b'{"active": true}')
        if self.path == "/old": self.wfile.write(b'{"last_activity": "2020-01-01T00:00:00"}')
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def service(code=SERVER, ports=None, container="", **more):
    run = {"kind": "service", **({"ports": ports} if ports else {})}
    return work_item(code, container=container, run=run, **more)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until_ready(scheduler):
    await until(lambda: scheduler.service is not None, 10)
    return scheduler.service[1]


async def test_a_service_is_told_when_it_answers(tmp_path):
    port = free_port()
    async with executing(service(ports=[port]), tmp_path) as (held, scheduler, logs, _):
        ports = await until_ready(scheduler)
        assert (scheduler.service[0], ports) == ("127.0.0.1", (port,))
        assert (await http_get(port, "/ready")).status == 200
        await until(lambda: "started" in scheduler.told)
        held.stop("someone asked")
    assert scheduler.exited.stopped
    assert ("system", f"the service answers on port {port}") in logs.lines()


async def test_a_port_that_is_taken_is_replaced(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with executing(service(ports=[port]), tmp_path) as (held, scheduler, *_):
            (given,) = await until_ready(scheduler)
            assert given != port
            held.stop("done")


async def test_a_readiness_probe_decides(tmp_path):
    container = "readinessProbe: {httpGet: {path: /never}}"
    async with executing(service(container=container), tmp_path) as (held, scheduler, *_):
        await until(lambda: "started" in scheduler.told)
        port = int(plan_launch_port(tmp_path))
        await until(lambda: answers(port), 10)
        assert scheduler.service is None
        held.stop("done")
    container = "readinessProbe: {httpGet: {path: /ready}}"
    async with executing(service(container=container), tmp_path) as (held, scheduler, *_):
        await until_ready(scheduler)
        held.stop("done")


def plan_launch_port(folder):
    """The port that the service of this folder was given, as its environment says."""
    import psutil

    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if environ.get("EPOCHAL_CONTEXT_PATH", "").startswith(str(folder)) and "PORT" in environ:
            return environ["PORT"]
    raise AssertionError("no service runs")


async def answers(port):
    return await http_get(port, "/ready") is not None


async def test_an_exec_probe_decides_too(tmp_path):
    container = "readinessProbe: {exec: {command: [test, -e, marker]}}"
    code = "open('marker', 'w'); import time; time.sleep(60)"
    async with executing(service(code, container=container), tmp_path) as (held, scheduler, *_):
        await until_ready(scheduler)
        held.stop("done")


async def test_a_service_that_ends_ends_as_a_job_does(tmp_path):
    async with executing(service("raise SystemExit(3)"), tmp_path) as (_, scheduler, *_rest):
        pass
    assert scheduler.exited.exit_code == 3
    assert scheduler.service is None


def idle(timeout, **probe):
    return {"termination": {"culling": {"timeout": timeout}, **({"probe": probe} if probe else {})}}


async def test_a_service_that_nobody_uses_is_ended(tmp_path):
    item = service(**idle(1))
    async with executing(item, tmp_path) as (_, scheduler, _logs, _task):
        pass
    assert scheduler.stop_reasons == ["nobody used the service for 1 s"]
    assert scheduler.exited.stopped
    assert scheduler.exited.message == "nobody used the service for 1 s"


async def test_a_probe_that_tells_of_no_use_ends_it_and_one_of_use_does_not(tmp_path):
    async with executing(service(**idle(1, http={"path": "/old"})), tmp_path) as (_, first, *_r):
        pass
    assert first.stop_reasons
    item = service(**idle(1, http={"path": "/status"}))
    async with executing(item, tmp_path) as (held, scheduler, *_):
        await until_ready(scheduler)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await held.wait_stopped()
        assert not scheduler.stop_reasons
        held.stop("done")


async def test_use_through_the_gateway_keeps_a_service(tmp_path):
    async with executing(service(**idle(2)), tmp_path) as (held, scheduler, *_):
        await until_ready(scheduler)
        held.active.set()
        await until(lambda: not held.active.is_set(), 10)
        assert not scheduler.stop_reasons
    assert scheduler.stop_reasons


async def test_a_stop_that_is_refused_ends_nothing(tmp_path):
    class Refusing(FakeScheduler):
        async def request_stop(self, run, reason):
            self.stop_reasons.append(reason)
            return False

    async with executing(service(**idle(1)), tmp_path, Refusing()) as (held, scheduler, *_):
        await until(lambda: scheduler.stop_reasons, 10)
        held.stop("by hand")
    assert scheduler.exited.message == "by hand"


def test_a_service_knows_its_ports_and_its_path(tmp_path):
    item = service(ports=[8001, 8002], container="env: [{name: URL, value: ':$(PORT_1)'}]")
    launch = plan_launch(item, host(tmp_path), lambda declared: [port + 1 for port in declared])
    assert launch.env["PORT"] == launch.env["PORT_0"] == "8002"
    assert (launch.env["PORT_1"], launch.env["EPOCHAL_PORTS"]) == ("8003", "8002,8003")
    assert launch.env["EPOCHAL_SERVICE_PATH"] == f"/services/v1/{RUN}/"
    assert launch.env["URL"] == ":8003"
    assert (launch.port_of(8002), launch.port_of(9)) == (8003, 9)


def test_ports_are_given_once():
    ports = find_ports("127.0.0.1", [0, 0, 0])
    assert len(set(ports)) == 3


async def test_open_connections_are_seen():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not has_connections((port,))
        with socket.create_connection(("127.0.0.1", port)):
            assert has_connections((port,))


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"])
async def test_what_is_no_http_is_no_answer(answer):
    async def serve(reader, writer):
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await http_get(server.sockets[0].getsockname()[1], "/") is None
