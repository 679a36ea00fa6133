"""Times as people write them: instants, days, and spans relative to now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_RELATIVE: Final = re.compile(r"now(?:\s*([+-])\s*(\d{1,6})\s*([smhdwy]))?\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DAYS: Final = {"today": 0, "yesterday": 1}
_SPANS: Final = {
    "last_hour": timedelta(hours=1),
    "last_day": timedelta(days=1),
    "last_week": timedelta(days=7),
    "last_month": timedelta(days=30),
    "last_quarter": timedelta(days=91),
    "last_year": timedelta(days=365),
}

EXAMPLES: Final = (
    "a time such as 2026-01-31T12:00:00Z, 2026-01-31, now-7d, today, yesterday or last_week"
)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to but without `end`; an instant when they are the same."""

    start: datetime
    end: datetime


def span(text: str, now: datetime) -> Span:
    """Read a time; days are those of UTC.

    Raises:
        ValueError, OverflowError: it is none.
    """
    word = text.strip().lower()
    relative = _RELATIVE.match(word)
    if relative is not None:
        sign, count, unit = relative.groups()
        shift = timedelta(seconds=int(count) * _UNITS[unit]) if count else timedelta()
        at = now - shift if sign == "-" else now + shift
        return Span(at, at)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if word in _DAYS:
        start = midnight - timedelta(days=_DAYS[word])
        return Span(start, start + timedelta(days=1))
    if word in _SPANS:
        return Span(now - _SPANS[word], now)
    at = datetime.fromisoformat(text.strip())
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    if re.fullmatch(r"\d{4}-?\d\d-?\d\d", text.strip()):
        return Span(at, at + timedelta(days=1))
    return Span(at, at)
