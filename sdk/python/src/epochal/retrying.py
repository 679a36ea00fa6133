"""How long to wait before the same call is made again: bounded, and different for every caller."""

from __future__ import annotations

import random
from dataclasses import dataclass

from epochal.errors import EpochalError


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with full jitter, so that many clients do not come back as one.

    Source of the formula: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    failures: int = 0

    def next_delay_s(self, error: EpochalError) -> float:
        """Seconds to wait after one more failure; what the platform asked for wins."""
        ceiling = min(self.longest_s, self.first_s * 2**self.failures)
        self.failures = min(self.failures + 1, 30)
        return max(error.retry_after_s or 0.0, random.uniform(ceiling / 2, ceiling))

    def succeeded(self) -> None:
        """Starts again from the first delay."""
        self.failures = 0
