"""ProofService: checkpoints, proofs, exports as recorded, cosignatures, key rotation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from epochal_kernel.ids import Position
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.chain import leaf
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.tlog.notes import (
    BadNote,
    Checkpoint,
    Signature,
    VerifierKey,
    split_note,
)
from epochal_lineage.domain.tlog.proving import (
    Range,
    consistency_path,
    hash_of,
    inclusion_path,
    tiles_needed,
)
from epochal_lineage.sealing.keyring import Keyring
from epochal_lineage.sealing.publishing import whole_note
from epochal_lineage.sealing.sealer import Sealer
from epochal_lineage.sealing.withholding import exported
from epochal_lineage.store.sealing import Seal, SealStore

#: Events in one message of an export, and bytes after which it is sent.
BATCH: Final = 500
BATCH_BYTES: Final = 1_000_000


class Proofs:
    """Handlers of ProofService."""

    def __init__(
        self,
        pool: Pool,
        store: SealStore,
        keyring: Keyring,
        sealer: Sealer,
        witnesses: Sequence[VerifierKey],
        appender: Appender,
    ) -> None:
        self._appender = appender
        self._reader = LogReader(pool)
        self._store = store
        self._keyring = keyring
        self._sealer = sealer
        self._witnesses = witnesses

    async def get_checkpoint(
        self, request: pb.GetCheckpointRequest, context: CallContext
    ) -> pb.GetCheckpointResponse:
        """Return a checkpoint with the keys that sign."""
        head = await self._reader.head()
        return pb.GetCheckpointResponse(
            checkpoint=await checkpoint_message(self._store, await self._seal(request.size)),
            verifier_keys=[key.verifier for key in await self._store.keys()],
            handovers=await self._store.handovers(),
            head=head.position,
            problem=self._sealer.problem,
        )

    async def list_checkpoints(
        self, request: pb.ListCheckpointsRequest, context: CallContext
    ) -> pb.ListCheckpointsResponse:
        """List checkpoints, oldest first."""
        size = request.page_size or paging.DEFAULT_PAGE
        after = paging.unpack_number(request.page_token) or 0
        seals = await self._store.notes(after, 2**62, size + 1)
        return pb.ListCheckpointsResponse(
            checkpoints=[await checkpoint_message(self._store, seal) for seal in seals[:size]],
            next_page_token=paging.pack(str(seals[size - 1].size)) if len(seals) > size else "",
        )

    async def get_proof(
        self, request: pb.GetProofRequest, context: CallContext
    ) -> pb.GetProofResponse:
        """Prove an event, or that a checkpoint continues an earlier tree."""
        if bool(request.position) == bool(request.from_size):
            raise InvalidArgument(
                "a proof is of one thing: give position or from_size",
                violations=[Violation("position", "one_of", "give position or from_size")],
            )
        seal = await self._seal(request.size)
        wanted = request.position or request.from_size
        if wanted > seal.size:
            raise FailedPrecondition(
                f"position {wanted} is not in the checkpoint of {seal.size} yet: "
                "the next one is signed soon",
                reason="NOT_SEALED_YET",
            )
        found = pb.GetProofResponse(checkpoint=await checkpoint_message(self._store, seal))
        if request.position:
            path = inclusion_path(request.position - 1, seal.size)
            (record,) = await self._reader.page(Position(request.position - 1), 1)
            found.leaf_index, found.digest = request.position - 1, leaf(record).hex()
        else:
            path = consistency_path(request.from_size, seal.size)
        found.hashes.extend(one.hex() for one in await self._hashes(path))
        return found

    async def export_records(
        self, request: pb.ExportRecordsRequest, context: CallContext
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        """Stream the log for one organisation."""
        org_id = request.parent.removeprefix("orgs/")
        async for batch in self._export(org_id, request.after, request.through):
            yield batch

    async def export_log(
        self, request: pb.ExportLogRequest, context: CallContext
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        """Stream the log for the platform's administrator."""
        async for batch in self._export(None, request.after, request.through):
            yield batch

    async def add_cosignature(
        self, request: pb.AddCosignatureRequest, context: CallContext
    ) -> pb.AddCosignatureResponse:
        """Keep a witness's signature after checking it: only a known key's, only a true one."""
        seal = await self._seal(request.size)
        try:
            signature = Signature.parse(request.line)
        except BadNote as error:
            raise _bad_line(str(error)) from error
        text, _ = split_note(seal.note)
        known = [key for key in self._witnesses if signature.is_by(key)]
        if not known:
            raise _bad_line(f"{signature.name} is no witness in EPOCHAL_AUDIT_WITNESSES")
        if not known[0].verifies(text, signature.signature):
            raise _bad_line(f"the signature is not that of {signature.name} on this checkpoint")
        line = request.line.rstrip("\n") + "\n"
        await self._store.add_cosignature(seal.size, str(known[0]), line)
        return pb.AddCosignatureResponse(note=await whole_note(self._store, seal))

    async def rotate_signing_key(
        self, request: pb.RotateSigningKeyRequest, context: CallContext
    ) -> pb.RotateSigningKeyResponse:
        """Make a new key; the next checkpoint carries the signatures of both."""
        key = str(await self._keyring.rotate())
        rotated = NewEvent(pb.SigningKeyRotated(verifier_key=key), "log")
        stream = Stream("access", uuid5(NAMESPACE_URL, key))
        appended = await self._appender.append(
            Command(context.command(request), stream, None, [rotated])
        )
        context.wrote(appended.last_position)
        return pb.RotateSigningKeyResponse(verifier_key=key)

    async def _export(
        self, org_id: str | None, after: int, through: int
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        end = through or (await self._seal(0)).size
        while after < end:
            records = await self._reader.page(Position(after), min(BATCH, end - after))
            if not records:
                return
            batch, size = pb.ExportRecordsResponse(), 0
            for record in records:
                batch.records.append(exported(record, org_id))
                size += len(record.payload)
                if size > BATCH_BYTES:
                    yield batch
                    batch, size = pb.ExportRecordsResponse(), 0
            yield batch
            after = records[-1].position

    async def _seal(self, size: int) -> Seal:
        seal = await (self._store.at(size) if size else self._store.last())
        if seal is not None:
            return seal
        if size:
            raise NotFound(f"there is no checkpoint of size {size}: list those there are")
        why = self._sealer.problem or "the first one is signed soon"
        raise FailedPrecondition(f"no checkpoint is signed yet: {why}", reason="NOT_SEALED_YET")

    async def _hashes(self, path: Sequence[Range]) -> list[bytes]:
        tiles = await self._store.tiles(tiles_needed(path))
        return [hash_of(one, tiles) for one in path]


async def checkpoint_message(store: SealStore, seal: Seal) -> pb.Checkpoint:
    """Return a seal as answers show it."""
    text, _ = split_note(seal.note)
    found = pb.Checkpoint(
        origin=Checkpoint.parse(text).origin,
        size=seal.size,
        root=seal.root.hex(),
        chain=seal.chain.hex(),
        note=await whole_note(store, seal),
    )
    found.seal_time.FromDatetime(seal.sealed_at)
    return found


def _bad_line(message: str) -> InvalidArgument:
    return InvalidArgument(message, violations=[Violation("line", "cosignature", message)])
