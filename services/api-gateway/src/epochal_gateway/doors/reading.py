"""Reads of sensitive artifacts go into the log before a byte is sent.

A read that cannot be recorded is refused: a log of reads that misses some proves nothing.
"""

from __future__ import annotations

import json

import epochal_proto.v1 as pb
from epochal_kernel.ids import Ids
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.rpc.context import CallContext

from epochal_gateway.domain.organization import ScopeAggregate
from epochal_gateway.domain.sensitive import TAG, is_sensitive
from epochal_gateway.identity.directory import Directory


class ReadLog:
    """Records who reads what a project calls sensitive."""

    def __init__(self, directory: Directory, ledger: Ledger, ids: Ids) -> None:
        self._directory = directory
        self._ledger = ledger
        self._ids = ids
        self._aggregate = ScopeAggregate()

    async def record(
        self, run: str, artifact: pb.Artifact, start: int, end: int, context: CallContext
    ) -> None:
        """Record that bytes from `start` up to `end` are about to be read, if they are sensitive.

        Raises:
            Unavailable: it cannot be recorded now.
        """
        project = self._directory.project(run.partition("/runs/")[0])
        patterns = json.loads(project.tags).get(TAG, "") if project is not None else ""
        if not is_sensitive(patterns, artifact.path, artifact.kind):
            return
        event = pb.ArtifactRead(
            run=run,
            path=artifact.path,
            digest=artifact.digest,
            kind=artifact.kind,
            first_byte=start,
            length_bytes=end - start,
        )
        # A stream of its own for each read: a file that is read for years grows no aggregate.
        outcome = await self._ledger.begin(
            self._aggregate,
            self._ids.uuid7(),
            f"{run}/artifacts/{artifact.path}",
            lambda _: [event],
            context.command(event),
        )
        context.wrote(outcome.position)
