"""Sealing a log, proofs of it, and the offline check of 1,000,000 events."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from epochal import audit_verifier
from epochal_embedded.home import Home
from epochal_embedded.sandboxes.forking import Wanted, fork
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.chain import GENESIS, leaf
from epochal_kernel.log.events import EventRecord
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.notes import Checkpoint, Signer, signed_note
from epochal_lineage.domain.tlog.proving import hash_of, inclusion_path, tiles_needed
from epochal_lineage.restoring import restore
from epochal_lineage.sealing.archiving import LogArchiver
from epochal_lineage.sealing.keyring import Keyring
from epochal_lineage.sealing.places import Bucket
from epochal_lineage.sealing.sealer import Sealer
from epochal_lineage.store.sealing import SealStore

from benchmarks.report import Row
from benchmarks.servers import durable_postgres

SEALED = 100_000
CHECKED = 1_000_000
PROOFS = 500

_COLUMNS = list(EventRecord._fields)
_START = datetime(2026, 1, 1, tzinfo=UTC)


async def run(seconds: float) -> list[Row]:
    """Seal and prove a log in PostgreSQL, then check a bundle of 1,000,000 events."""
    del seconds  # the log has a size, not a duration
    rows: list[Row] = []
    async with (
        durable_postgres() as url,
        await connect(url, name="bench", search_path="lineage, public") as pool,
    ):
        await _fill(pool)
        rows += await _seal(pool)
        rows += await _prove(pool)
        rows += await _archive(pool, url)
        rows.append(await _fork(url))
    rows.append(await asyncio.to_thread(_check))
    return rows


def _records(count: int) -> Iterator[EventRecord]:
    """Events such as a run makes, chained, 120 bytes of payload each."""
    chance, link = random.Random(7), GENESIS
    for number in range(1, count + 1):
        record = EventRecord(
            Position(number),
            UUID(int=chance.getrandbits(128)),
            "acme",
            "run",
            UUID(int=chance.getrandbits(128)),
            Version(1),
            "epochal.v1.TagsSet",
            chance.randbytes(120),
            "users/ann",
            "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001",
            UUID(int=chance.getrandbits(128)),
            None,
            "",
            _START + timedelta(milliseconds=number),
            b"",
        )
        link = hashlib.sha256(link + leaf(record)).digest()
        yield record._replace(chain=link)


async def _fill(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await migrate(connection, "lineage", "epochal_lineage")
        records = list(_records(SEALED))
        await connection.copy_records_to_table(
            "event", schema_name="log", columns=_COLUMNS, records=records
        )
        await connection.execute(
            "UPDATE log.head SET position = $1, chain = $2", SEALED, records[-1].chain
        )


async def _seal(pool: Pool) -> list[Row]:
    store = SealStore(pool)
    sealer = Sealer(
        pool, store, Keyring(store, "secret", "", ""), SystemClock(), every_events=1, every_s=1.0
    )
    started = time.perf_counter()
    await sealer.seal_all()
    elapsed = time.perf_counter() - started
    return [Row("seal, checking the chain", SEALED / elapsed, "events/s")]


async def _prove(pool: Pool) -> list[Row]:
    """The tiles of a proof read and its hashes made, as the service does for each call."""
    store, chance = SealStore(pool), random.Random(11)
    times_ms: list[float] = []
    for _ in range(PROOFS):
        started = time.perf_counter()
        path = inclusion_path(chance.randrange(SEALED), SEALED)
        tiles = await store.tiles(tiles_needed(path))
        for one in path:
            hash_of(one, tiles)
        times_ms.append((time.perf_counter() - started) * 1_000)
    cuts = statistics.quantiles(times_ms, n=20)
    return [
        Row("inclusion proof, p50", statistics.median(times_ms), "ms"),
        Row("inclusion proof, p95", cuts[18], "ms"),
    ]


async def _fork(url: str) -> Row:
    """The log copied into a data folder of its own, its chain and its tree made again, and all."""
    began: dict[str, float] = {}

    def told(what: str, done: int, total: int) -> None:
        began.setdefault(what, time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as name:
        os.chmod(name, 0o711)
        started = time.perf_counter()
        await fork(
            Wanted(database_url=url),
            Home(Path(name) / "fork"),
            told,
        )
        ended = time.perf_counter()
    return Row(
        "fork the log, with a new server, proving it",
        SEALED / (ended - started),
        "events/s",
        also={
            "before_s": began["events"] - started,
            "copying_s": began["proof"] - began["events"],
            "proving_s": began["read models"] - began["proof"],
        },
    )


async def _archive(pool: Pool, url: str) -> list[Row]:
    """The sealed log into a folder; the folder checked, and restored into another database."""
    with tempfile.TemporaryDirectory() as name:
        place = Bucket(Path(name).as_uri())
        archiver = LogArchiver(
            pool, SealStore(pool), place, SystemClock(), every_s=1.0, segment_events=20_000
        )
        started = time.perf_counter()
        await archiver.step()
        archived_s = time.perf_counter() - started
        size_bytes = sum([len(await place.get(one)) for one in await place.names("segments/")])
        started = time.perf_counter()
        verdict = await asyncio.to_thread(audit_verifier.verify, audit_verifier.Bundle(Path(name)))
        verified_s = time.perf_counter() - started
        assert verdict.events == SEALED, verdict.problem
        await pool.execute("CREATE DATABASE restored")
        async with await connect(f"{url.rpartition('/')[0]}/restored", name="bench") as other:
            started = time.perf_counter()
            await restore(other, place)
            restored_s = time.perf_counter() - started
    return [
        Row("archive the log", SEALED / archived_s, "events/s"),
        Row("archived event", size_bytes / SEALED, "bytes"),
        Row("verify the archive", SEALED / verified_s, "events/s"),
        Row("restore the log, proving it", SEALED / restored_s, "events/s"),
    ]


def _check() -> Row:
    """The single file in a process of its own, as an auditor runs it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = _write_bundle(folder)
        command = [sys.executable, audit_verifier.__file__, str(folder), "--key", key, "--json"]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        elapsed = time.perf_counter() - started
    assert json.loads(done.stdout)["events"] == CHECKED
    return Row(f"offline verify of {CHECKED:,}", elapsed, "s")


def _write_bundle(folder: Path) -> str:
    signer = Signer("log.example.com/bench", bytes(32))
    frontier, digests, leaves = Frontier(), bytearray(), []
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    with (folder / "events.jsonl").open("w") as events:
        for record in _records(CHECKED):
            digest = leaf(record)
            digests += digest
            leaves.append(leaf_hash(digest))
            row = {
                "position": record.position,
                "event_id": record.event_id.hex,
                "org_id": record.org_id,
                "category": record.category,
                "stream_id": record.stream_id.hex,
                "version": record.version,
                "type": record.type,
                "payload": base64.b64encode(record.payload).decode(),
                "actor": record.actor,
                "resource": record.resource,
                "correlation_id": record.correlation_id.hex,
                "causation_id": "",
                "traceparent": record.traceparent,
                "recorded_at_us": (record.recorded_at - epoch) // timedelta(microseconds=1),
                "chain": record.chain.hex(),
            }
            events.write(json.dumps(row, separators=(",", ":")) + "\n")
    frontier.extend(leaves)
    text = Checkpoint(signer.name, CHECKED, frontier.root()).text()
    (folder / "checkpoint").write_text(signed_note(text, [signer.sign(text)]))
    (folder / "checkpoints.jsonl").write_text("")
    (folder / "digests.bin").write_bytes(digests)
    manifest = {
        "format": "epochal-audit-bundle/1",
        "kind": "log",
        "whole": True,
        "size": CHECKED,
        "keys": [str(signer.verifier)],
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return str(signer.verifier)
