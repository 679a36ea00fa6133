"""How long a consumer lets a batch grow."""

from __future__ import annotations

LEAST_S = 0.02
MOST_S = 0.2


class Pace:
    """The time between one batch and the next.

    The first event after a quiet moment is applied at once. In a busy one a transaction for each
    would cost every service more than the events do: then the next batch waits at least twice as
    long as applying the last one took, so that following the log leaves the service room for the
    rest of its work.
    """

    def __init__(self) -> None:
        self._told_at = float("-inf")
        self._took_s = 0.0

    def applied(self, started: float, ended: float) -> None:
        """Notes when applying a batch began and ended, on a clock that only goes on."""
        self._took_s = ended - started

    def told(self, now: float) -> None:
        """Notes that the view has moved."""
        self._told_at = now

    def left_s(self, now: float) -> float:
        """Returns how long the next batch may still grow; not above 0 when it need not wait."""
        return self._told_at + min(max(LEAST_S, 2 * self._took_s), MOST_S) - now
