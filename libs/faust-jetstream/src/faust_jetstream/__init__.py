"""A Faust transport over NATS JetStream.

    app = faust.App("monitor", broker="nats://127.0.0.1:4222?storage=memory")
    configure(app, worker=0, workers=1)

Faust's partitions are streams, its offsets sequences less one, its changelogs streams that keep one
message a key, its committed offsets entries of a KV bucket. Partitions are assigned statically:
worker `i` of `n` has those whose number leaves `i` when divided by `n`. What is processed is
processed at least once: a process that dies between its effect and its commit sees the message
again, so effects must be idempotent.

Producers that are not Faust need only `faust_jetstream.places`, which imports nothing heavy; so
does this package, until `configure` or `Transport` is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from faust_jetstream.errors import BrokerGone, TransportError

if TYPE_CHECKING:
    from faust_jetstream.assigning import configure
    from faust_jetstream.transport import Transport

__all__ = ["BrokerGone", "Transport", "TransportError", "configure"]

_LAZY = {"configure": "assigning", "Transport": "transport"}


def __getattr__(name: str) -> object:
    """Import what needs Faust when it is asked for."""
    if name in _LAZY:
        return getattr(import_module(f"faust_jetstream.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
