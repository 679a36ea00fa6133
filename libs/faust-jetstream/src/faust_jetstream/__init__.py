"""A Faust transport over NATS JetStream.

    app = faust.App("monitor", broker="nats://127.0.0.1:4222?storage=memory")
    configure(app, worker=0, workers=1)

Faust's partitions are streams, its offsets sequences less one, its changelogs streams that keep one
message a key, its committed offsets entries of a KV bucket. Partitions are assigned statically:
worker `i` of `n` has those whose number leaves `i` when divided by `n`. What is processed is
processed at least once: a process that dies between its effect and its commit sees the message
again, so effects must be idempotent.
"""

from faust_jetstream.assigning import StaticAssignor, StaticLeader, configure
from faust_jetstream.broker import Broker, Storage
from faust_jetstream.errors import BrokerGone, TransportError
from faust_jetstream.transport import Transport

__all__ = [
    "Broker",
    "BrokerGone",
    "StaticAssignor",
    "StaticLeader",
    "Storage",
    "Transport",
    "TransportError",
    "configure",
]
