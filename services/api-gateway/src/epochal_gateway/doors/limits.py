"""Limits per caller: a token bucket for calls, and the memory of its last write."""

from __future__ import annotations

from collections import OrderedDict

from epochal_kernel.clock import Clock
from epochal_kernel.errors import ResourceExhausted

REMEMBERED = 50_000


class RateLimiter:
    """A token bucket (RFC 2697 style) for each key, forgotten when it has been full for long."""

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Take one call's worth.

        Raises:
            ResourceExhausted: the bucket is empty; says when to try again.
        """
        now = self._clock.monotonic()
        level, at = self._buckets.get(key, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        if level < 1.0:
            raise ResourceExhausted(
                f"more than {self._rate:g} calls a second with this token",
                reason="RATE_LIMITED",
                retry_after_s=(1.0 - level) / self._rate,
            )
        self._buckets[key] = (level - 1.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)


class LastWrites:
    """The position of each caller's last write, so that its next read waits for it.

    For clients that cannot carry a position themselves (REST, MLflow). One gateway remembers its
    own; behind a load balancer, clients that send `epochal-min-position` need no memory here.
    """

    def __init__(self) -> None:
        self._positions: OrderedDict[str, int] = OrderedDict()

    def note(self, key: str, position: int) -> None:
        """Remember a write."""
        self._positions[key] = max(position, self._positions.get(key, 0))
        self._positions.move_to_end(key)
        if len(self._positions) > REMEMBERED:
            self._positions.popitem(last=False)

    def of(self, key: str) -> int:
        """Return the position of the last write, 0 if none is remembered."""
        return self._positions.get(key, 0)
