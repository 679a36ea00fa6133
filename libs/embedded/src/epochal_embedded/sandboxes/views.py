"""The read models of the platform that is forked, copied as they were: the release's own answer.

They lie in schemas `original_SERVICE` of the fork, without indexes, at the positions they had been
brought to, which `epochal.original` says. `comparing` holds against them what another release makes
of the same history.
"""

from __future__ import annotations

from dataclasses import dataclass

from epochal_kernel.postgres import Connection, load_sql

from epochal_embedded.sandboxes.copying import copy_rows, quoted
from epochal_embedded.sandboxes.sources import Source

_SOURCE = load_sql("epochal_embedded.sandboxes", "sources.sql")
_SQL = load_sql("epochal_embedded.sandboxes", "views.sql")


@dataclass(frozen=True, slots=True)
class View:
    """The copied read model of one service.

    Attributes:
        service: whose.
        version: of its read model.
        position: that it had been brought to.
    """

    service: str
    version: int
    position: int

    @property
    def schema(self) -> str:
        """Where it lies in the fork."""
        return f"original_{self.service}"


async def copy_views(source: Source, target: Connection) -> list[View]:
    """Copy the live read models that are not beyond the fork's position; return those copied."""
    await target.execute(_SQL["prepare"])
    copied: list[View] = []
    for row in await source.connection.fetch(_SOURCE["read_models"]):
        service = row["service"]
        live = await source.connection.fetchrow(
            f"SELECT schema, version FROM {quoted(service)}.read_model"
        )
        if live is None:
            continue
        position = await source.connection.fetchval(
            f"SELECT position FROM {quoted(live['schema'])}.checkpoint WHERE consumer = $1", service
        )
        view = View(service, live["version"], position or 0)
        if not 0 < view.position <= source.position:
            continue
        await _copy_tables(source, live["schema"], target, view)
        await target.execute(_SQL["note"], view.service, view.version, view.position)
        copied.append(view)
    return copied


async def copied_views(target: Connection) -> list[View]:
    """Return what was copied."""
    if not await target.fetchval(_SQL["has_views"]):
        return []
    return [View(*row) for row in await target.fetch(_SQL["views"])]


async def _copy_tables(source: Source, schema: str, target: Connection, view: View) -> None:
    await target.execute(f"CREATE SCHEMA {quoted(view.schema)}")
    for table in await source.connection.fetch(_SOURCE["tables_of"], schema):
        names = [quoted(column) for column in table["columns"]]
        columns = ", ".join(
            f"{name} {kind}" for name, kind in zip(names, table["types"], strict=True)
        )
        await target.execute(
            f"CREATE TABLE {quoted(view.schema)}.{quoted(table['name'])} ({columns})"
        )
        await copy_rows(
            source.connection,
            f"SELECT {', '.join(names)} FROM {quoted(schema)}.{quoted(table['name'])}",
            (),
            target,
            (view.schema, table["name"], table["columns"]),
        )
