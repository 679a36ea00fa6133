"""The keeper: deletes what projects keep no longer, and the bytes that nothing has any more.

Every deletion is an event, written before it: after a crash the deletion is made up for, and never
the other way round. Where projects archive, what is deleted is in the object store before: the
archiver sees to it, and the statements that delete see to it again. What a registered model version
was made by is not touched. Seals and the hashes they are over stay, and so do summaries, except of
runs that are purged.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    DeadlineExceeded,
    EpochalError,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Ids
from epochal_kernel.leading import Leader
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import ArtifactService

from epochal_tracker.archiving import Archiver
from epochal_tracker.keeping import RetentionRow
from epochal_tracker.sealing import ACTOR
from epochal_tracker.store.keeping import DeadObject, RetentionStore
from epochal_tracker.telling import Teller

EVERY_S = 600.0
RETRY_S = 5.0
ARTIFACTS = 1_000
OBJECTS = 500
#: Objects uploaded less than this long ago stay: their artifact may be about to be committed.
MIN_AGE_S = 3_600

_PROJECTS = UUID("a2a8d6d8-5f3b-4d8c-b2c5-7b1f0b6f3c42")

_log = structlog.get_logger(__name__)


def stream_of(project: str) -> UUID:
    """Return the stream that has what a project says of its telemetry."""
    return uuid5(_PROJECTS, project)


class Keeper:
    """Deletes in the background; one of the trackers at a time."""

    def __init__(
        self,
        store: RetentionStore,
        teller: Teller,
        remote: RpcClient,
        clock: Clock,
        ids: Ids,
        leader: Leader,
        min_age_s: int = MIN_AGE_S,
        archiver: Archiver | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._teller = teller
        self._remote = remote
        self._clock = clock
        self._ids = ids
        self._leader = leader
        self._min_age_s = min_age_s
        self._archiver = archiver
        self._every_s = every_s

    async def run(self) -> None:
        """Work until cancelled, whenever this process leads."""
        await self._leader.run(self._work)

    async def _work(self) -> None:
        while True:
            pause_s = self._every_s
            try:
                if await self.sweep(self._clock.now().date()):
                    pause_s = 0.0
                await self.delete_objects()
            except (Unavailable, DeadlineExceeded, ResourceExhausted, Internal) as error:
                _log.warning("keeper.waits", error=error.message)
                pause_s = RETRY_S
            await self._clock.sleep(pause_s)

    async def sweep(self, today: date) -> bool:
        """Delete what is older than projects keep; return whether there is more to archive.

        Raises:
            EpochalError: some may be deleted; calling again is safe.
        """
        for run_id in await self._store.unpurged():
            await self._store.purge(run_id)
        retentions = await self._store.retentions()
        more = await self._archive(retentions, today)
        if not retentions:
            return False
        for day in await self._store.old_days(today - timedelta(days=1)):
            expired = await self._store.expired(day, today)
            for one in expired:
                kind = "system_metrics" if one.system else "metrics"
                before = day + timedelta(days=1)
                await self._tell(one.project, kind, before, today, one.runs, one.points)
            if expired:
                failpoint("archive.before_delete")
                await self._store.drop_expired(day, today)
        for retention in retentions:
            await self._sweep_runs(retention, today)
        return more

    async def _archive(self, retentions: Sequence[RetentionRow], today: date) -> bool:
        """Archive what is due; what cannot be now is deleted by nobody, and tried again."""
        more = False
        if self._archiver is None:
            return more
        await self._archiver.forget_purged()
        for retention in retentions:
            try:
                more |= await self._archiver.archive(retention, today)
            except EpochalError as error:
                _log.warning("archiver.waits", project=retention.project, error=error.message)
        return more

    async def delete_objects(self) -> None:
        """Have the bytes of deleted artifacts deleted, unless another artifact has the same.

        Raises:
            EpochalError: some may be deleted; calling again is safe.
        """
        while found := await self._store.dead_objects(OBJECTS):
            used = [one for one in found if one.in_use]
            unused = [one for one in found if not one.in_use]
            gone = await self._delete(unused) if unused else set()
            done = used + [one for one in unused if one.sha256 in gone]
            await self._store.removed(done)
            if len(done) < len(found) or len(found) < OBJECTS:
                return

    async def _delete(self, objects: list[DeadObject]) -> set[bytes]:
        context = CallContext(ACTOR, "", self._ids.uuid7(), self._ids)
        request = pb.DeleteObjectsRequest(
            digests=[one.sha256 for one in objects], min_age_s=self._min_age_s
        )
        answer = await self._remote.call(ArtifactService.DELETE_OBJECTS, request, context)
        return set(answer.deleted)

    async def _sweep_runs(self, retention: RetentionRow, today: date) -> None:
        project = retention.project
        if retention.logs_days:
            before = today - timedelta(days=retention.logs_days)
            runs, lines = await self._store.drop_logs(project, before, today)
            if runs:
                await self._tell(project, "logs", before, today, runs, lines)
        if retention.spans_days:
            before = today - timedelta(days=retention.spans_days)
            traces, spans = await self._store.drop_spans(project, before)
            if traces:
                await self._tell(project, "spans", before, today, traces, spans)
        if retention.artifacts_days:
            before = today - timedelta(days=retention.artifacts_days)
            reason = f"the project keeps artifacts for {retention.artifacts_days} days"
            found = await self._store.expired_artifacts(project, before, ARTIFACTS)
            for run_id, group in groupby(found, key=lambda one: one.run_id):
                artifacts = list(group)
                event = pb.ArtifactsDeleted(
                    run=f"{project}/runs/{run_id}",
                    paths=[one.path for one in artifacts],
                    digests=[one.sha256 for one in artifacts],
                    reason=reason,
                )
                key = f"{run_id}/artifacts/{before}/{artifacts[0].path}"
                await self._teller.tell(key, run_id, event.run, [event])

    async def _tell(
        self, project: str, kind: str, before: date, today: date, runs: int, items: int
    ) -> None:
        event = pb.TelemetryExpired(
            project=project, kind=kind, before=before.isoformat(), runs=runs, items=items
        )
        key = f"{project}/{kind}/{before}/{today}"
        await self._teller.tell(key, stream_of(project), project, [event])
        _log.info("keeper.deletes", project=project, kind=kind, before=str(before), items=items)
