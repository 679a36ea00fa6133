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

    def client(self, token: str | None = None) -> Client:
        """A client, the administrator's unless a token is given."""
        connection = self.connection
        if token is not None:
            connection = Connection(url=connection.url, token=token, project=connection.project)
        return Client(connection)
