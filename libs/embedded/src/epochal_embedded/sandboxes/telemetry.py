"""Points, output and spans of the platform that is forked: beside the log, copied when asked for.

They have no position: a fork of the past cannot have those of the past, so it has all or none. What
is under way between programs and the tracker (cursors of streams, producers of the tracker's own,
what is still to be told) is not copied: it would be done again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Final

from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Connection, load_sql

from epochal_embedded.sandboxes.copying import copy_rows, quoted
from epochal_embedded.sandboxes.sources import NoSource, Source

_SQL = load_sql("epochal_embedded.sandboxes", "telemetry.sql")

#: Of the tracker's own tables those that hold what was measured and said.
TABLES: Final = (
    "batch",
    "producer_cursor",
    "metric_summary",
    "log_chunk",
    "span",
    "truncated",
    "archive_cursor",
)


async def telemetry_bytes(source: Source) -> int:
    """Return the size of it on the source's disk.

    Raises:
        NoSource: there is none, it is of a newer release, or it cannot be of the position wanted.
    """
    if source.position != source.head:
        raise NoSource(
            "Telemetry has no positions, so --telemetry goes with all of the log only: leave out "
            "--until, or the telemetry."
        )
    if not await source.connection.fetchval(_SQL["has_telemetry"]):
        raise NoSource(f"{source.place} has no telemetry: its tracker has never run.")
    known = {
        entry.name
        for entry in resources.files("epochal_tracker").joinpath("sql").iterdir()
        if entry.name.endswith(".sql")
    }
    applied = [row[0] for row in await source.connection.fetch(_SQL["migrations"])]
    newer = [name for name in applied if name not in known]
    if newer:
        raise NoSource(
            f"The database has the migration tracker/{newer[0]}, which this release lacks: fork "
            "with the release that runs there, or a newer one."
        )
    return int(await source.connection.fetchval(_SQL["bytes"]) or 0)


async def copy_telemetry(
    source: Source, target: Connection, told: Callable[[int, int], None]
) -> None:
    """Copy it; `told` is called with the tables done and how many there are."""
    await migrate(target, "tracker", "epochal_tracker")
    days = await source.connection.fetch(_SQL["days"])
    work = [("metric_chunk", row["name"], row["day"]) for row in days]
    work += [(name, name, None) for name in TABLES]
    for number, (like, name, day) in enumerate(work, start=1):
        if day is not None:
            await target.execute(_SQL["make_day"], day)
        theirs = await source.connection.fetchval(_SQL["columns"], like)
        ours = set(await target.fetchval(_SQL["columns"], like) or ())
        columns = [column for column in theirs or () if column in ours]
        if columns:  # else the source's release has no such table yet
            listed = ", ".join(quoted(column) for column in columns)
            query = f"SELECT {listed} FROM tracker.{quoted(name)}"
            await copy_rows(source.connection, query, (), target, ("tracker", name, columns))
        told(number, len(work))
