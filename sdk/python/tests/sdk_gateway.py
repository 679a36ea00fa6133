"""A gateway in memory behind real gRPC and HTTP servers, with the faults a real one has.

It keeps the promises of the contract that clients rely on: request ids are idempotent and refused
with another body, telemetry persists contiguously and only after it is acknowledged, epochs fence,
seals wait, errors carry google.rpc details.
"""

import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import grpc
from epochal_proto.method import StreamMethod
from epochal_proto.v1 import services
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from sdk_world import Refused, World


def every_method():
    for service in vars(services).values():
        if isinstance(service, type) and service.__module__ == services.__name__:
            yield from (m for m in vars(service).values() if hasattr(m, "path"))


class Gateway:
    def __init__(self):
        self.world = World()
        self.calls = []
        self.faults = {}
        self.lock = threading.RLock()
        self.replies = {}
        self.grpc = self.http = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    def start(self, http_port=0):
        self.grpc = grpc.server(
            futures.ThreadPoolExecutor(max_workers=24),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 26)],
        )
        self.grpc.add_generic_rpc_handlers((_Handlers(self),))
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()
        self.http = ThreadingHTTPServer(("127.0.0.1", http_port), _http_handler(self))
        self.http.daemon_threads = True
        self.http_port = self.http.server_address[1]
        self.http_thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.http_thread.start()
        self.world.open = True

    def stop(self):
        if self.grpc is None:
            return
        self.world.close()
        self.grpc.stop(0).wait()
        self.http.shutdown()
        self.http.server_close()
        self.http_thread.join()
        self.grpc = self.http = None

    def restart(self):
        """Comes back on the same URL and another gRPC port, all data kept."""
        port = self.http_port
        self.stop()
        self.start(port)

    def fail(self, method, code, times=1, **details):
        """The next calls of the method fail before they do anything."""
        self.faults.setdefault(method, []).extend([("fail", Refused(code, **details))] * times)

    def lose_reply(self, method, times=1):
        """The next calls do their work and then the connection seems to break."""
        error = Refused("UNAVAILABLE", message="connection reset")
        self.faults.setdefault(method, []).extend([("lose", error)] * times)

    def count(self, method):
        return sum(1 for name, _ in self.calls if name == method)

    def requests(self, method):
        return [request for name, request in self.calls if name == method]

    def serve(self, method, request, metadata):
        if method.policy.permission != "internal" and (
            metadata.get("authorization") != f"Bearer {self.world.token}"
        ):
            raise Refused("UNAUTHENTICATED", message="unknown token")
        with self.lock:
            self.calls.append((method.name, request))
            self.last_metadata = metadata
            fault, error = (self.faults.get(method.name) or [(None, None)]).pop(0)
        if fault == "fail":
            raise error
        reply = self._once(method, request)
        if fault == "lose":
            raise error
        return reply

    def _once(self, method, request):
        request_id = getattr(request, "request_id", "")
        with self.lock:
            body = request.SerializeToString(deterministic=True)
            if request_id and request_id in self.replies:
                known, reply = self.replies[request_id]
                if known != body:
                    raise Refused("INVALID_ARGUMENT", "COMMAND_MISMATCH", message="other request")
                return reply
        reply = getattr(self.world, method.name)(request)
        if request_id:
            with self.lock:
                self.replies[request_id] = (body, reply)
        return reply


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, gateway):
        self.gateway = gateway
        self.methods = {method.path: method for method in every_method()}

    def service(self, details):
        method = self.methods.get(details.method)
        if method is None or not hasattr(self.gateway.world, method.name):
            return None
        gateway, world = self.gateway, self.gateway.world

        def unary(request, context):
            try:
                reply = gateway.serve(method, request, dict(context.invocation_metadata()))
            except Refused as error:
                _abort(context, error)
            context.set_trailing_metadata((("epochal-position", str(world.position)),))
            return reply

        def stream(request, context):
            try:
                for reply in gateway.serve(method, request, dict(context.invocation_metadata())):
                    if not context.is_active():
                        return
                    yield reply
            except Refused as error:
                _abort(context, error)

        make, behaviour = (
            (grpc.unary_stream_rpc_method_handler, stream)
            if isinstance(method, StreamMethod)
            else (grpc.unary_unary_rpc_method_handler, unary)
        )
        return make(behaviour, method.request.FromString, method.response.SerializeToString)


def _abort(context, error):
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=error.message)
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain="epochal"), *error.issues]
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, rule, message in error.violations:
            bad.field_violations.add(field=field, reason=rule, description=message)
        details.append(bad)
    if error.resource:
        details.append(error_details_pb2.ResourceInfo(resource_name=error.resource))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(getattr(grpc.StatusCode, error.code), error.message)


def _http_handler(gateway):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/.well-known/epochal":
                return self.answer(200, {"grpc": f"127.0.0.1:{gateway.grpc_port}", "version": "0"})
            key = self.artifact_key()
            if key not in gateway.world.files:
                return self.problem(404, "NOT_FOUND", "no such artifact")
            return self.answer(200, gateway.world.files[key])

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Authorization") != f"Bearer {gateway.world.token}":
                return self.problem(401, "UNAUTHENTICATED", "unknown token")
            with gateway.lock:
                faults = gateway.faults.get("PUT")
                fault = faults.pop(0) if faults else None
            if fault:
                return self.problem(503, "UNAVAILABLE", "the object store is away")
            run, path = self.artifact_key()
            gateway.calls.append(("PUT", path))
            source = self.headers.get("Epochal-Copy-Source")
            if source:
                where, _, there = source.partition("/artifacts/")
                body = gateway.world.files.get((where, there))
                if body is None:
                    return self.problem(404, "NOT_FOUND", "no such artifact")
                gateway.world.copied.append(path)
            artifact = gateway.world.store(run, path, body, self.headers)
            if artifact is None:
                return self.problem(400, "DIGEST_MISMATCH", "sha256 differs")
            return self.answer(200, artifact)

        def artifact_key(self):
            run, _, path = unquote(self.path).removeprefix("/v1/").partition("/artifacts/")
            return run, path

        def problem(self, status, reason, detail):
            return self.answer(status, {"status": status, "reason": reason, "detail": detail})

        def answer(self, status, body):
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Epochal-Position", str(gateway.world.position))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args):
            pass

    return Handler
