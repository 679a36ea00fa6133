"""A running platform as tests see it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from epochal.client import Client
from epochal.config import Connection
from epochal_embedded.home import Home


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    home: Home
    connection: Connection
    url: str

    @property
    def token(self) -> str:
        """The administrator's secret."""
        return str(json.loads(self.home.client.read_text())["token"])

    @property
    def database_url(self) -> str:
        """Where its database is."""
        password = (self.home.root / "postgres" / "password").read_text().strip()
        port = json.loads((self.home.root / "platform.json").read_text())["ports"]["postgres"]
        return f"postgresql://epochal:{password}@127.0.0.1:{port}/epochal"

    def client(self, token: str | None = None) -> Client:
        """A client, the administrator's unless a token is given."""
        connection = self.connection
        if token is not None:
            connection = Connection(url=connection.url, token=token, project=connection.project)
        return Client(connection)
