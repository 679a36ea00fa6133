"""Reading the graph as it stood at a position, inside one organisation or project."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.projections.graph import node_id
from epochal_lineage.projections.graph_rows import RunArtifactRow

#: Runs or versions that a job, dataset or model stands for where a walk begins.
MOST_MEMBERS: Final = 10_000

_SQL: Final = load_sql("epochal_lineage", "graph.sql")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see, and as of when.

    Attributes:
        org: "orgs/acme".
        project: "orgs/acme/projects/vision", or None for all of the organisation.
        position: of the last event that counts.
    """

    org: str
    project: str | None
    position: int

    @classmethod
    def of(cls, parent: str, position: int) -> Scope:
        """Return the scope of a project or an organisation."""
        project = parent if "/projects/" in parent else None
        return cls("/".join(parent.split("/")[:2]), project, position)

    @property
    def wide(self) -> bool:
        """Whether edges from one project to another are followed."""
        return self.project is None


class FoundNode(NamedTuple):
    """A node as it was; `until` is when it ended, even after the moment asked for, or OPEN."""

    id: UUID
    name: str
    kind: int
    project: str
    digest: str
    uri: str
    label: str
    parent: UUID
    parent_name: str
    first: int
    until: int


class FoundEdge(NamedTuple):
    """An edge as it was; for jobs so many of them, `position` the first, `last` the newest."""

    source: UUID
    target: UUID
    kind: int
    position: int
    edges: int
    last: int


class FoundColumn(NamedTuple):
    """A column that comes from a column."""

    source: UUID
    source_column: str
    target: UUID
    target_column: str
    via: str
    transformation: int
    description: str
    masking: bool
    position: int


class EventRef(NamedTuple):
    """Which event is at a position, and when it was recorded, in microseconds since 1970."""

    position: int
    event_id: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Steps:
    """How to go on from some nodes: which edges count.

    Attributes:
        upstream: against the direction data flows.
        jobs: from families to families, instead of from runs to versions.
        after: only edges made after this position.
        kinds: only edges of these kinds.
    """

    upstream: bool
    kinds: tuple[int, ...]
    after: int = 0
    jobs: bool = False

    @property
    def statement(self) -> str:
        """Name of the statement that takes such a step."""
        way = "upstream" if self.upstream else "downstream"
        return f"{way}_of_jobs" if self.jobs else way


class GraphStore:
    """Queries over nodes and edges, never beyond a scope."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def nodes(self, ids: Collection[UUID], scope: Scope) -> list[FoundNode]:
        """Return those of the nodes that were there and are in scope."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL["nodes"], list(ids), scope.position, scope.org, scope.project
            )
        return [FoundNode(*row) for row in rows]

    async def node(self, name: str, project: str) -> UUID | None:
        """Return the id of what an event has made known by this name, and which is there."""
        with adapting():
            found: UUID | None = await self._pool.fetchval(_SQL["known"], node_id(name), project)
        return found

    async def members(self, family: UUID, scope: Scope) -> list[UUID]:
        """Return the newest runs or versions of a job, dataset or model.

        `MOST_MEMBERS` at most, and one more to tell that there are more.
        """
        with adapting():
            rows = await self._pool.fetch(
                _SQL["members"], family, scope.position, scope.org, scope.project, MOST_MEMBERS + 1
            )
        return [row[0] for row in rows]

    async def by_name(
        self,
        scope: Scope,
        after: str,
        kinds: Iterable[int],
        text: str,
        family: UUID | None,
        limit: int,
    ) -> list[FoundNode]:
        """Return nodes in the order of their names."""
        wanted = (after, list(kinds), text, scope.position, limit)
        values: tuple[object, ...]
        if family is not None:
            statement, values = "by_name_in_family", (scope.org, *wanted, family, scope.project)
        elif scope.project is not None:
            statement, values = "by_name_in_project", (scope.project, *wanted)
        else:
            statement, values = "by_name_in_org", (scope.org, *wanted)
        with adapting():
            rows = await self._pool.fetch(_SQL[statement], *values)
        return [FoundNode(*row) for row in rows]

    async def step(
        self, ids: Sequence[UUID], scope: Scope, steps: Steps, limit: int
    ) -> list[FoundEdge]:
        """Return edges at some nodes, oldest first."""
        with adapting():
            rows = await self._pool.fetch(
                _SQL[steps.statement],
                ids,
                scope.position,
                steps.after,
                scope.wide,
                list(steps.kinds),
                limit,
            )
        return [FoundEdge(*row) for row in rows]

    async def columns(
        self,
        columns: Sequence[tuple[UUID, str]],
        scope: Scope,
        *,
        upstream: bool,
        limit: int,
    ) -> list[FoundColumn]:
        """Return column edges at some columns; "" stands for all columns of a dataset."""
        name = "columns_upstream" if upstream else "columns_downstream"
        with adapting():
            rows = await self._pool.fetch(
                _SQL[name],
                [one for one, _ in columns],
                [column for _, column in columns],
                scope.position,
                scope.wide,
                limit,
            )
        return [FoundColumn(*row) for row in rows]

    async def events(self, positions: Collection[int]) -> dict[int, EventRef]:
        """Return which events are at some positions."""
        with adapting():
            rows = await self._pool.fetch(_SQL["events"], list(positions))
        return {row[0]: EventRef(*row) for row in rows}

    async def artifacts(self, run: str, path: str) -> list[RunArtifactRow]:
        """Return the artifact at a path of a run, or all below it when it ends in "/"."""
        with adapting():
            rows = await self._pool.fetch(_SQL["artifacts"], run, path, path.endswith("/"))
        return [RunArtifactRow(*row) for row in rows]
