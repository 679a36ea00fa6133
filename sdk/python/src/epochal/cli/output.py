"""What commands print: tables for people, JSON for programs, on stdout; remarks on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Generic, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item", bound=Message)

_PIPE_WIDTH: Final = 240


class Output(StrEnum):
    """How to print."""

    table = "table"
    json = "json"


@dataclass(frozen=True)
class Column(Generic[Item]):
    """One column of a table: its title, and the text for an item."""

    title: str
    text: Callable[[Item], str]
    style: str = ""
    right: bool = False


def console() -> Console:
    """For results; wide when piped, so that nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def errors_console() -> Console:
    """For errors, remarks and progress."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH)


def show_list(
    items: Iterable[Item], columns: Sequence[Column[Item]], output: Output, nothing: str
) -> None:
    """Prints a list; `nothing` is said when it is empty."""
    if output is Output.json:
        print_json([as_json(item) for item in items])
        return
    rows = list(items)
    if not rows:
        errors_console().print(nothing, highlight=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            style=column.style,
            justify="right" if column.right else "left",
            overflow="fold",
        )
    for item in rows:
        table.add_row(*(Text.from_ansi(column.text(item)) for column in columns))
    console().print(table)


def show_one(item: Item, fields: Sequence[Column[Item]], output: Output) -> None:
    """Prints one thing: a line a field, or JSON."""
    if output is Output.json:
        print_json(as_json(item))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field in fields:
        if text := field.text(item):
            table.add_row(field.title, Text(text))
    console().print(table)


def transfer_progress() -> Progress:
    """Bars for bytes that go up or down, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=errors_console(),
        transient=True,
    )


def as_json(message: Message) -> object:
    """A message as the REST door gives it: camelCase, zero values shown."""
    shown: object = MessageToDict(message, always_print_fields_with_no_presence=True)
    return shown


def print_json(value: object) -> None:
    """Prints JSON on stdout, never wrapped."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def when(time: Timestamp) -> str:
    """A time in the reader's own zone, to the second; empty when unset."""
    if not time.seconds and not time.nanos:
        return ""
    return f"{time.ToDatetime(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def between(start: Timestamp, end: Timestamp, now: datetime | None = None) -> str:
    """A duration such as "1h02m", up to now when it has not ended; empty when not begun."""
    if not start.seconds:
        return ""
    until = end.ToDatetime(tzinfo=UTC) if end.seconds else now or datetime.now(UTC)
    seconds = max(0, int((until - start.ToDatetime(tzinfo=UTC)).total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds % 60:02}s" if minutes else f"{seconds}s"


def number(value: float) -> str:
    """A metric's value, short enough to compare by eye."""
    return f"{value:.6g}"


def size(size_bytes: int) -> str:
    """A size for people, in powers of 1024."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
