"""Faust's entry: `broker="nats://HOST:PORT?storage=memory&max_bytes=67108864&max_age=3600"`."""

from __future__ import annotations

from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from faust.transport.base import Transport as Base

from faust_jetstream import places
from faust_jetstream.broker import Broker, Limits, Storage
from faust_jetstream.consuming import Consumer
from faust_jetstream.producing import Producer

MAX_BYTES = 256 * 1024**2

#: Faust makes a transport for the consumer and one for the producer; they share what they know.
_BROKERS: WeakKeyDictionary[Any, Broker] = WeakKeyDictionary()


class Transport(Base):
    """JetStream instead of Kafka."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer

    default_port = 4222
    driver_version = "nats-py"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read the options out of the URL.

        Raises:
            ValueError: storage is neither file nor memory, or a limit is no number.
        """
        super().__init__(*args, **kwargs)
        (url, *_) = self.url
        options = dict(url.query)
        storage = Storage(options.pop("storage", Storage.FILE.value))
        limits = Limits(
            max_bytes=int(options.pop("max_bytes", MAX_BYTES)),
            max_age_s=float(options.pop("max_age", 0.0)),
        )
        if options:
            raise ValueError(
                f"broker URL: unknown option {sorted(options)[0]!r}: use storage, max_bytes, "
                "max_age"
            )
        servers = str(url.with_query(None).with_path("/")).rstrip("/")
        if self.app not in _BROKERS:
            _BROKERS[self.app] = Broker(servers, storage, limits)
        self.broker = _BROKERS[self.app]

    def key_partition(self, topic: str, key: object) -> int:
        """Return the partition that a key goes to.

        Tables with `use_partitioner` ask with keys that are not serialised yet, windowed ones with
        pairs of key and window. What belongs together stays together: the window does not count.
        """
        while isinstance(key, tuple):
            key = key[0]
        plain = key if isinstance(key, bytes | None) else str(key).encode()
        count = self.broker.partitions(topic) or int(self.app.conf.topic_partitions)
        return places.partition_of(plain, count)
