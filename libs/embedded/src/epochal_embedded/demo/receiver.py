"""The other end of the demo's webhook: keeps what arrives with a good signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """A webhook receiver on loopback; deliveries by idempotency key, so repetitions count once."""

    secret: str
    deliveries: dict[str, dict[str, object]] = field(default_factory=dict)
    refused: int = 0

    def start(self) -> str:
        """Listen on a free port and return the URL."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                good = receiver.accept(
                    body,
                    self.headers.get("epochal-signature", ""),
                    self.headers.get("idempotency-key", ""),
                )
                self.send_response(204 if good else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the demo's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def accept(self, body: bytes, signature: str, key: str) -> bool:
        """Check a delivery as any receiver should: recompute the HMAC over time and body."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        signed = f"{parts.get('t', '')}.".encode() + body
        expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, parts.get("v1", "")):
            self.refused += 1
            return False
        self.deliveries[key] = json.loads(body)
        return True
