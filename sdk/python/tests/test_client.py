"""Calls are typed, bounded and repeated only when that is safe; errors say everything they know."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import epochal_proto.v1 as pb
import pytest
from epochal import config, discovery, errors
from epochal.client import Client
from epochal.config import Connection
from epochal_proto.v1.services import AccessService, AuditService, ProjectService, RunService

PROJECT = "orgs/default/projects/main"


@pytest.fixture
def client(gateway):
    with Client(Connection(gateway.url, gateway.world.token), sleep=lambda _: None) as client:
        yield client


def test_a_call_answers_with_its_own_type(client):
    caller = client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
    assert isinstance(caller, pb.Caller)
    assert caller.actor == "users/admin"


def test_a_write_always_carries_a_request_id(client, gateway):
    request = pb.CreateProjectRequest(parent="orgs/default", project_id="vision")
    client.call(ProjectService.CREATE_PROJECT, request)
    assert request.request_id == ""
    (sent,) = gateway.requests("CreateProject")
    assert len(sent.request_id) == 36


def test_a_lost_reply_is_asked_for_again_and_nothing_happens_twice(client, gateway):
    gateway.lose_reply("CreateProject", times=3)
    request = pb.CreateProjectRequest(parent="orgs/default", project_id="vision")
    project = client.call(ProjectService.CREATE_PROJECT, request)
    assert project.name == "orgs/default/projects/vision"
    assert gateway.count("CreateProject") == 4
    assert len({sent.request_id for sent in gateway.requests("CreateProject")}) == 1


def test_errors_carry_code_reason_fields_and_resource(client, gateway):
    gateway.fail(
        "CreateProject",
        "INVALID_ARGUMENT",
        reason="BAD_NAME",
        message="the name is bad",
        violations=[("project_id", "pattern", "use lower case")],
        resource="orgs/default",
    )
    with pytest.raises(errors.InvalidArgument) as caught:
        client.call(ProjectService.CREATE_PROJECT, pb.CreateProjectRequest(parent="orgs/default"))
    error = caught.value
    assert (error.code, error.reason, error.resource) == (
        "INVALID_ARGUMENT",
        "BAD_NAME",
        "orgs/default",
    )
    assert error.violations == (errors.Violation("project_id", "pattern", "use lower case"),)
    assert str(error) == "the name is bad\n  project_id: use lower case"
    assert gateway.count("CreateProject") == 1


def test_spec_issues_come_back_with_their_lines(client, gateway):
    gateway.world.spec_issues = [pb.SpecIssue(line=3, column=5, field="a", rule="r", message="m")]
    with pytest.raises(errors.InvalidArgument) as caught:
        client.call(
            RunService.COMPILE_OPERATION, pb.CompileOperationRequest(parent=PROJECT, spec=b"x")
        )
    assert [(i.line, i.column, i.field) for i in caught.value.issues] == [(3, 5, "a")]


@pytest.mark.parametrize(
    "code", ["PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL"]
)
def test_what_cannot_get_better_is_not_repeated(client, gateway, code):
    gateway.fail("GetCaller", code)
    with pytest.raises(errors.BY_CODE[code]):
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
    assert gateway.count("GetCaller") == 1


def test_retries_end_with_the_patience(gateway):
    gateway.fail("GetCaller", "UNAVAILABLE", times=10_000)
    with (
        Client(Connection(gateway.url, gateway.world.token)) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest(), patience_s=0.2)
    assert 1 < gateway.count("GetCaller") < 20


def test_reads_are_at_least_as_new_as_the_last_write(client, gateway):
    client.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id="vision"),
    )
    assert client.position == gateway.world.position == 1
    client.call(ProjectService.LIST_PROJECTS, pb.ListProjectsRequest(parent="orgs/default"))
    assert gateway.last_metadata["epochal-min-position"] == "1"


def test_a_wrong_token_says_so(gateway):
    with (
        Client(Connection(gateway.url, "wrong")) as client,
        pytest.raises(errors.Unauthenticated),
    ):
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())


def test_streams_give_messages_and_our_errors(client, gateway):
    gateway.world.record("RunCreated", "x")
    stream = client.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest())
    assert [message.done for message in stream] == [False, True]
    gateway.fail("VerifyLog", "PERMISSION_DENIED", message="no")
    with pytest.raises(errors.PermissionDenied, match="no"):
        list(client.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest()))


def test_a_platform_that_is_away_is_named_with_what_to_do(gateway):
    gateway.stop()
    with (
        Client(Connection(gateway.url), sleep=lambda _: None) as client,
        pytest.raises(errors.PlatformUnreachable, match=r"nothing answers at .*epochal up"),
    ):
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest(), patience_s=0.1)


def test_a_platform_that_moved_is_found_again(gateway):
    with Client(Connection(gateway.url, gateway.world.token)) as client:
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
        gateway.restart()
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest(), patience_s=10)


def test_a_platform_on_another_url_is_found_by_the_refresh(gateway, monkeypatch, tmp_path):
    file = tmp_path / "config.json"
    config.write(Connection(gateway.url, gateway.world.token), file)
    with Client(config.find(), refresh=config.find) as client:
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
        gateway.stop()
        gateway.start()
        config.write(Connection(gateway.url, gateway.world.token), file)
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest(), patience_s=10)


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://"])
def test_a_url_that_is_none_is_refused_with_an_example(url):
    with Client(Connection(url)) as client, pytest.raises(errors.InvalidArgument, match="http://"):
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())


class OtherServer(BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>", errors.InvalidArgument),
        (200, b'{"other": 1}', errors.InvalidArgument),
        (404, b"", errors.InvalidArgument),
        (503, b'{"detail": "starting"}', errors.Unavailable),
    ],
)
def test_what_is_not_the_platform_is_told_apart_from_one_that_starts(status, body, error):
    handler = type("Handler", (OtherServer,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(error):
            discovery.locate(Connection(f"http://127.0.0.1:{server.server_address[1]}"))
        server.shutdown()
        thread.join()


def test_a_door_bound_to_every_address_is_reached_at_the_hosts_own(gateway, monkeypatch):
    monkeypatch.setattr(
        discovery, "_fetch", lambda *_: f'{{"grpc": "0.0.0.0:{gateway.grpc_port}"}}'.encode()
    )
    found = discovery.locate(Connection("https://epochal.example.org"))
    assert found.target == f"epochal.example.org:{gateway.grpc_port}"
    assert (found.secure, found.loopback) == (True, False)
