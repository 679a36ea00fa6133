"""Real PostgreSQL and NATS servers as child processes of this one."""

from epochal_embedded.servers.nats import NatsServer
from epochal_embedded.servers.postgres import PostgresServer

__all__ = ["NatsServer", "PostgresServer"]
