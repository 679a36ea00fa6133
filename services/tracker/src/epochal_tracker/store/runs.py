"""Reading runs by id, their artifacts and captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from epochal_kernel.postgres import Pool, adapting

from epochal_tracker.rows import ArtifactRow, CaptureRow, RunRow

_COLUMNS = ", ".join(f"r.{field.name}" for field in fields(RunRow))
_RUN = f"SELECT {_COLUMNS} FROM run r WHERE r.run_id = $1 AND r.project = $2"
_OF_PROJECT = "SELECT run_id FROM run WHERE project = $1 AND run_id = ANY($2)"
_ROWS = f"SELECT {_COLUMNS} FROM run r WHERE r.run_id = ANY($1::uuid[])"
_INPUTS = (
    "SELECT run_id, details FROM run_dataset WHERE run_id = ANY($1::uuid[]) "
    "ORDER BY run_id, name, digest"
)
_ARTIFACT_COLUMNS = ", ".join(field.name for field in fields(ArtifactRow))
_ARTIFACT = f"SELECT {_ARTIFACT_COLUMNS} FROM artifact WHERE run_id = $1 AND path = $2"
_ARTIFACTS = (
    f"SELECT {_ARTIFACT_COLUMNS} FROM artifact WHERE run_id = $1 AND starts_with(path, $2) "
    "AND path > $3 ORDER BY path LIMIT $4"
)

_CAPTURE = (
    "SELECT run_id, attempt, capture FROM capture WHERE run_id = $1 "
    "AND ($2::bigint = 0 OR attempt = $2) ORDER BY attempt DESC LIMIT 1"
)


class RunStore:
    """Queries over runs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, run_id: UUID, project: str) -> RunRow | None:
        """Return a run of a project."""
        with adapting():
            row = await self._pool.fetchrow(_RUN, run_id, project)
        return RunRow(*row) if row else None

    async def of_project(self, project: str, run_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of some runs that are of a project."""
        with adapting():
            rows = await self._pool.fetch(_OF_PROJECT, project, list(run_ids))
        return {row[0] for row in rows}

    async def rows(self, run_ids: Sequence[UUID]) -> dict[UUID, RunRow]:
        """Return several runs by id; those that are not there are left out."""
        with adapting():
            rows = await self._pool.fetch(_ROWS, list(run_ids))
        return {row[0]: RunRow(*row) for row in rows}

    async def inputs(self, run_ids: Sequence[UUID]) -> dict[UUID, list[bytes]]:
        """Return what is known of the datasets that several runs read, serialized, by name."""
        with adapting():
            rows = await self._pool.fetch(_INPUTS, list(run_ids))
        found: dict[UUID, list[bytes]] = {}
        for run_id, details in rows:
            found.setdefault(run_id, []).append(details)
        return found

    async def artifact(self, run_id: UUID, path: str) -> ArtifactRow | None:
        """Return the artifact at a path."""
        with adapting():
            row = await self._pool.fetchrow(_ARTIFACT, run_id, path)
        return ArtifactRow(*row) if row else None

    async def artifacts(
        self, run_id: UUID, prefix: str, after: str, limit: int
    ) -> list[ArtifactRow]:
        """Return artifacts of a run by path."""
        with adapting():
            rows = await self._pool.fetch(_ARTIFACTS, run_id, prefix, after, limit)
        return [ArtifactRow(*row) for row in rows]

    async def capture(self, run_id: UUID, attempt: int) -> CaptureRow | None:
        """Return what an attempt of a run was made of; of the newest for 0."""
        with adapting():
            row = await self._pool.fetchrow(_CAPTURE, run_id, attempt)
        return CaptureRow(*row) if row else None
