"""A small HTTP server: which iris has these sepals and petals?

GET /predict?sepal_length=5.1&sepal_width=3.5&petal_length=1.4&petal_width=0.2
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")

iris = load_iris()
model = LogisticRegression(max_iter=500).fit(iris.data, iris.target)


class Handler(BaseHTTPRequestHandler):
    """Answers /health and /predict in JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers one request."""
        url = urlsplit(self.path)
        if url.path == "/health":
            self.answer(200, {"ready": True})
        elif url.path == "/predict":
            query = parse_qs(url.query)
            try:
                flower = [float(query[field][0]) for field in FIELDS]
            except (KeyError, ValueError):
                self.answer(400, {"error": f"give numbers for {', '.join(FIELDS)}"})
                return
            (found,) = model.predict([flower])
            self.answer(200, {"species": str(iris.target_names[found])})
        else:
            self.answer(404, {"error": "there are /health and /predict"})

    def answer(self, status: int, body: dict[str, object]) -> None:
        """Sends JSON."""
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


port = int(os.environ["PORT"])
print(f"listening on {port}")
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
