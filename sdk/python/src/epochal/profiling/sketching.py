"""The values of one column, summed up in bounded memory.

Numbers: least, greatest, mean and deviation are exact (Welford's method); quantiles are those of
all values up to `SAMPLE`, else of a sample of that size in which every value is equally likely
(Vitter's algorithm R, seeded by the column's name, so the same data gives the same profile).
Different values: exact up to `EXACT`, beyond that estimated from the `HASHES` least hashes
(Bar-Yossef et al. 2002, the k-th minimum value), with a standard error of about 3 %. Frequent
values: counted exactly up to `EXACT` different ones, else in the sample, in proportion.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import epochal_proto.v1 as pb

SAMPLE: Final = 65_536
EXACT: Final = 50_000
HASHES: Final = 1_024
TOP: Final = 10
SHARES: Final = 20
TEXT: Final = 128

_SPACE: Final = 2.0**64


class ColumnSketch:
    """Takes the values of one column, one by one; None and NaN are no values."""

    def __init__(self, name: str, kind: str = "") -> None:
        self.name = name
        self.kind = kind
        self.nulls = 0
        self._chance = random.Random(name)
        self._seen = 0
        self._numbers = 0
        self._mean = 0.0
        self._squares = 0.0
        self._min = math.inf
        self._max = -math.inf
        self._sample: list[float] = []
        self._texts: list[str] = []
        self._least: str | None = None
        self._greatest: str | None = None
        self._counts: Counter[str] | None = Counter()
        self._hashes: list[int] = []
        self._kept: set[int] = set()

    def add_number(self, value: float, text: str = "") -> None:
        """Takes a number; `text` is how it reads."""
        if math.isnan(value):
            self.nulls += 1
            return
        if not math.isinf(value):
            self._numbers += 1
            step = value - self._mean
            self._mean += step / self._numbers
            self._squares += step * (value - self._mean)
        self._min, self._max = min(self._min, value), max(self._max, value)
        self._keep(self._sample, value, self._seen)
        self._count(text or _text(value))
        self._seen += 1

    def add_text(self, value: str) -> None:
        """Takes a value that is no number."""
        shown = value[:TEXT]
        if self._least is None or shown < self._least:
            self._least = shown
        if self._greatest is None or shown > self._greatest:
            self._greatest = shown
        self._keep(self._texts, shown, self._seen)
        self._count(value)
        self._seen += 1

    def add_nulls(self, count: int) -> None:
        """Takes so many rows without a value."""
        self.nulls += count

    def profile(self) -> pb.ColumnProfile:
        """What was taken, summed up."""
        found = pb.ColumnProfile(name=self.name[:1000], type=self.kind[:200], nulls=self.nulls)
        if self._counts is not None:
            found.distinct = len(self._counts)
            found.top.extend(_top(self._counts.most_common(TOP)))
        else:
            found.distinct, found.distinct_estimated = self._estimate(), True
            sampled = Counter(self._texts or map(_text, self._sample))
            scale = self._seen / max(1, sampled.total())
            frequent = [(text, count) for text, count in sampled.most_common(TOP) if count > 1]
            found.top.extend(_top((text, round(count * scale)) for text, count in frequent))
        if self._sample:
            found.min, found.max = self._min, self._max
            found.quantiles.extend(quantiles(sorted(self._sample), self._min, self._max))
            found.quantiles_estimated = self._seen > len(self._sample)
            if self._numbers:
                found.mean = self._mean
                found.stddev = math.sqrt(max(0.0, self._squares) / self._numbers)
        found.min_text, found.max_text = self._least or "", self._greatest or ""
        return found

    def _keep(self, sample: list[float] | list[str], value: object, seen: int) -> None:
        if len(sample) < SAMPLE:
            sample.append(value)  # type: ignore[arg-type]  # numbers to numbers, texts to texts
        elif (place := self._chance.randrange(seen + 1)) < SAMPLE:
            sample[place] = value  # type: ignore[call-overload]  # as above

    def _count(self, text: str) -> None:
        if self._counts is not None:
            self._counts[text[:TEXT]] += 1
            if len(self._counts) <= EXACT:
                return
            for known in self._counts:
                self._hash(known)
            self._counts = None
        self._hash(text[:TEXT])

    def _hash(self, text: str) -> None:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = int.from_bytes(digest, "big")
        if value in self._kept:
            return
        if len(self._hashes) < HASHES:
            heapq.heappush(self._hashes, -value)
            self._kept.add(value)
        elif value < -self._hashes[0]:
            self._kept.discard(-heapq.heapreplace(self._hashes, -value))
            self._kept.add(value)

    def _estimate(self) -> int:
        return round((HASHES - 1) / (-self._hashes[0] / _SPACE))


def quantiles(ordered: Sequence[float], least: float, greatest: float) -> list[float]:
    """Values at equal shares of a sorted sample, with the true least and greatest at the ends."""
    last = len(ordered) - 1
    found = [float(ordered[round(last * share / SHARES)]) for share in range(SHARES + 1)]
    found[0], found[-1] = float(least), float(greatest)
    return found


def _top(counts: Iterable[tuple[str, int]]) -> list[pb.ValueCount]:
    return [pb.ValueCount(value=text, count=count) for text, count in counts]


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
