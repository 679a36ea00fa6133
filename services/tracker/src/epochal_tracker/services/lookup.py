"""Finding the run a request is about, as fresh as the caller asks."""

from __future__ import annotations

from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.rows import RunRow
from epochal_tracker.services.messages import split
from epochal_tracker.store.runs import RunStore


class RunLookup:
    """Looks runs up by name."""

    def __init__(self, runs: RunStore, progress: Progress) -> None:
        self._runs = runs
        self._progress = progress

    async def existing(self, name: str, context: CallContext) -> RunRow:
        """Return a run to write about: as it is, waiting only when it is not there yet.

        Runs never vanish, so one that is found needs no fresher view; a caller that writes much
        would else wait for the view at every call.

        Raises:
            NotFound: the project has no such run.
            Unavailable: the view is too far behind.
        """
        project, run_id = split(name)
        return await self._runs.run(run_id, project) or await self.run(name, context)

    async def writable(self, name: str, context: CallContext) -> RunRow:
        """Return a run to write about that is not deleted, as far as the view knows by now.

        Raises:
            NotFound: the project has no such run.
            FailedPrecondition: it is deleted.
            Unavailable: the view is too far behind.
        """
        row = await self.existing(name, context)
        if row.delete_time is not None:
            # The caller may have restored it since.
            row = await self.run(name, context)
        if row.delete_time is not None:
            raise FailedPrecondition(
                f"{name} is deleted: restore it first", reason="RUN_DELETED", resource=name
            )
        return row

    async def run(self, name: str, context: CallContext) -> RunRow:
        """Return a run to read, waiting for the caller's own writes first.

        Raises:
            NotFound: the project has no such run.
            Unavailable: the view is too far behind.
        """
        await self._progress.wait_for(context.min_position)
        project, run_id = split(name)
        row = await self._runs.run(run_id, project)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return row
