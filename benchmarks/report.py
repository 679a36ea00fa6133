"""What a benchmark reports: rows of a name, a figure with its unit, and how it was spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Attributes:
        name: of the case, such as "128 writers".
        value: the figure.
        unit: such as "events/s" or "ms".
        target: what DESIGN.md asks for, in words; empty for peers and context.
        also: further figures by name, such as p50_ms.
        note: what one has to know to compare it.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    also: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the row as JSON."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "target": self.target,
            **{name: round(figure, 4) for name, figure in self.also.items()},
            **({"note": self.note} if self.note else {}),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 of times in milliseconds."""
    return {
        "p50_ms": percentile(seconds, 0.5) * 1e3,
        "p99_ms": percentile(seconds, 0.99) * 1e3,
    }


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows for people."""
    table = Table("case", "figure", "unit", "spread", "target", title=title, title_justify="left")
    for row in rows:
        spread = "  ".join(f"{name} {figure:,.2f}" for name, figure in row.also.items())
        spread += f"  ({row.note})" if row.note else ""
        table.add_row(row.name, f"{row.value:,.2f}", row.unit, spread, row.target)
    Console().print(table)
