"""From the id that MLflow's clients know of a run to its name, which says where it is.

MLflow names a run by its UUID alone; ours lie in projects. A run never moves: what was found once
is kept. The log itself is asked, not a view: a run is found as soon as it is written.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from uuid import UUID

from epochal_kernel.log.reader import LogReader

from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import run_uuid

KEPT: Final = 100_000


class RunNames:
    """Finds runs, and remembers which of them were deleted through this door.

    The views learn of a deletion a moment later; the client that deleted must not write meanwhile.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._names: OrderedDict[UUID, str] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()

    async def find(self, org: str, run_id: str, field: str = "run_id") -> str:
        """Return the name of a run of an organisation.

        Raises:
            MlflowError: the id is none, or there is no such run.
        """
        uid = run_uuid(run_id, field)
        name = await self._name(uid) if uid is not None else ""
        if not name.startswith(f"{org}/"):
            raise no_such(f"Run with id={run_id} not found")
        return name

    async def writable(self, org: str, run_id: str) -> str:
        """Return the name of a run that may be written to, as far as this door knows.

        Raises:
            MlflowError: the id is none, there is no such run, or it is deleted.
        """
        name = await self.find(org, run_id)
        if name in self._deleted:
            raise inactive(name)
        return name

    def note(self, name: str) -> None:
        """Remember a run that was just made."""
        self._remember(UUID(name.rpartition("/")[2]), name)

    def note_deleted(self, name: str) -> None:
        """Remember that a run was deleted."""
        self._deleted[name] = None
        if len(self._deleted) > KEPT:
            self._deleted.popitem(last=False)

    def note_restored(self, name: str) -> None:
        """Remember that a run is there again."""
        self._deleted.pop(name, None)

    async def _name(self, uid: UUID) -> str:
        known = self._names.get(uid)
        if known is not None:
            self._names.move_to_end(uid)
            return known
        events = self._log.stream("run", uid)
        first = await anext(events, None)
        if first is None:
            return ""
        self._remember(uid, first.resource)
        return first.resource

    def _remember(self, uid: UUID, name: str) -> None:
        self._names[uid] = name
        if len(self._names) > KEPT:
            self._names.popitem(last=False)


def inactive(name: str) -> MlflowError:
    """Return MLflow's error of a write to a deleted run."""
    uid = name.rpartition("/")[2].replace("-", "")
    return MlflowError(f"The run {uid} must be in the 'active' state. Current state is deleted.")
