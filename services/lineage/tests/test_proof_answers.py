"""Answers of ProofService over a real log: proofs hold, witnesses are checked, errors say why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from epochal.audit_verifier import (
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    read_checkpoint,
)
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, NotFound
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.signals import LogSignal
from epochal_lineage.domain.tlog.notes import COSIGNATURE, VerifierKey, signature_line, split_note
from epochal_lineage.sealing.keyring import witnesses
from epochal_lineage.services.proofs import Proofs
from sealing_world import SealingWorld, opened

ORG = "orgs/acme"
WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
KEY = VerifierKey("witness.example", COSIGNATURE, WITNESS.public_key().public_bytes_raw())
SIZES = (1, 7, 256, 300, 513)


@pytest.fixture
def context() -> CallContext:
    return CallContext.from_headers({}, SystemIds())


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, tmp_path: Path) -> AsyncIterator[SealingWorld]:
    async with opened(database, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def sealed(world: SealingWorld) -> SealingWorld:
    """A log that was sealed at several sizes, every other event of another organisation."""
    sealer = world.sealer()
    before = 0
    for number, size in enumerate(SIZES):
        await world.append(size - before, "acme" if number % 2 == 0 else "other")
        await sealer.seal_all()
        before = size
    return world


@pytest.fixture
def proofs(sealed: SealingWorld) -> Proofs:
    keyring = sealed.keyring()
    known = witnesses(str(KEY))
    appender = Appender(
        sealed.pool, LogSignal(), SystemIds(), SystemClock(), Subjects(sealed.pool, SystemClock())
    )
    return Proofs(sealed.pool, sealed.store, keyring, sealed.sealer(keyring), known, appender)


async def test_every_event_is_proved_in_every_checkpoint_that_has_it(
    proofs: Proofs, context: CallContext
) -> None:
    for size in SIZES:
        for position in {1, 2, 7, 255, 256, 257, 300, 301, 512, 513, size}:
            if position > size:
                continue
            request = pb.GetProofRequest(parent=ORG, position=position, size=size)
            found = await proofs.get_proof(request, context)
            head = read_checkpoint(found.checkpoint.note)
            path = [bytes.fromhex(one) for one in found.hashes]
            leaf = leaf_hash(bytes.fromhex(found.digest))
            assert inclusion_holds(leaf, found.leaf_index, head.size, path, head.root)


async def test_every_checkpoint_is_proved_to_continue_those_before(
    proofs: Proofs, context: CallContext
) -> None:
    heads = {}
    for size in SIZES:
        found = await proofs.get_checkpoint(pb.GetCheckpointRequest(parent=ORG, size=size), context)
        heads[size] = read_checkpoint(found.checkpoint.note)
    for before in SIZES:
        for after in (size for size in SIZES if size >= before):
            request = pb.GetProofRequest(parent=ORG, from_size=before, size=after)
            found = await proofs.get_proof(request, context)
            path = [bytes.fromhex(one) for one in found.hashes]
            first, second = heads[before].root, heads[after].root
            assert consistency_holds(before, after, first, second, path)


async def test_export_gives_content_of_ones_own_events_only(
    proofs: Proofs, context: CallContext
) -> None:
    request = pb.ExportRecordsRequest(parent=ORG)
    records = [
        one async for batch in proofs.export_records(request, context) for one in batch.records
    ]
    assert [one.position for one in records] == list(range(1, SIZES[-1] + 1))
    assert {one.event.org_id for one in records if one.HasField("event")} == {"acme"}
    assert sum(one.HasField("event") for one in records) == 1 + 249 + 213
    some = pb.ExportLogRequest(after=5, through=9)
    found = [one async for batch in proofs.export_log(some, context) for one in batch.records]
    assert [one.position for one in found] == [6, 7, 8, 9]
    assert all(one.HasField("event") for one in found)


def cosigned(note: str, time_s: int = 1_800_000_000, private: Ed25519PrivateKey = WITNESS) -> str:
    text, _ = split_note(note)
    raw = private.sign(f"cosignature/v1\ntime {time_s}\n{text}".encode())
    return signature_line(KEY.name, KEY.key_id, time_s.to_bytes(8, "big") + raw)


async def test_true_cosignature_of_a_known_witness_is_added_once(
    proofs: Proofs, context: CallContext, sealed: SealingWorld
) -> None:
    asked = pb.GetCheckpointRequest(parent=ORG)
    newest = (await proofs.get_checkpoint(asked, context)).checkpoint
    publisher = sealed.publisher()
    await publisher.step()
    for time_s in (1_800_000_000, 1_800_000_001):
        line = cosigned(newest.note, time_s)
        request = pb.AddCosignatureRequest(parent=ORG, size=newest.size, line=line)
        added = await proofs.add_cosignature(request, context)
        assert added.note == newest.note + line
    again = (await proofs.get_checkpoint(asked, context)).checkpoint.note
    assert again == added.note
    await publisher.step()
    assert (sealed.folder / "tlog/checkpoint").read_text() == again


async def test_false_or_unknown_cosignature_is_refused(
    proofs: Proofs, context: CallContext
) -> None:
    newest = (await proofs.get_checkpoint(pb.GetCheckpointRequest(parent=ORG), context)).checkpoint
    other = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    stranger = VerifierKey("stranger", COSIGNATURE, other.public_key().public_bytes_raw())
    for line, why in (
        (cosigned(newest.note, private=other), "is not that of"),
        (cosigned(newest.note.replace(f"\n{newest.size}\n", "\n1\n")), "is not that of"),
        (signature_line(stranger.name, stranger.key_id, bytes(72)), "is no witness"),
        ("nothing", "no signature line"),
    ):
        request = pb.AddCosignatureRequest(parent=ORG, size=newest.size, line=line)
        with pytest.raises(InvalidArgument, match=why):
            await proofs.add_cosignature(request, context)


async def test_what_is_not_sealed_or_not_there_is_said(
    proofs: Proofs, context: CallContext, sealed: SealingWorld
) -> None:
    await sealed.append(3)
    with pytest.raises(FailedPrecondition, match="is not in the checkpoint of 513 yet"):
        await proofs.get_proof(pb.GetProofRequest(parent=ORG, position=515), context)
    with pytest.raises(NotFound, match="no checkpoint of size 8"):
        await proofs.get_proof(pb.GetProofRequest(parent=ORG, position=1, size=8), context)
    with pytest.raises(InvalidArgument, match="EPOCHAL_AUDIT_WITNESSES"):
        witnesses("nobody")


async def test_checkpoints_are_walked_page_by_page(proofs: Proofs, context: CallContext) -> None:
    request, sizes = pb.ListCheckpointsRequest(parent=ORG, page_size=2), []
    while True:
        page = await proofs.list_checkpoints(request, context)
        sizes += [one.size for one in page.checkpoints]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sizes == list(SIZES)


async def test_altered_event_has_no_proof(
    proofs: Proofs, context: CallContext, sealed: SealingWorld
) -> None:
    await sealed.alter("UPDATE log.event SET event_id = $1 WHERE position = 7", UUID(int=1))
    found = await proofs.get_proof(pb.GetProofRequest(parent=ORG, position=7), context)
    head = read_checkpoint(found.checkpoint.note)
    path = [bytes.fromhex(one) for one in found.hashes]
    leaf = leaf_hash(bytes.fromhex(found.digest))
    assert not inclusion_holds(leaf, found.leaf_index, head.size, path, head.root)
