"""The sealed log is archived whole, proved offline, and restored into an empty database."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from epochal import audit_verifier
from epochal.audit_verifier import Bundle, Verdict, digest_of, verify
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from epochal_kernel.log.forks import read_fork
from epochal_kernel.log.reader import verify as verify_chain
from epochal_kernel.log.subjects import Subjects, erase
from epochal_kernel.postgres import Pool, connect
from epochal_lineage.domain.segments import ordered, record_of, row_of, segment_name
from epochal_lineage.domain.tlog.notes import Signer
from epochal_lineage.restoring import main, restore
from epochal_lineage.sealing.archiving import LogArchiver, NameArchiver
from epochal_lineage.sealing.places import Bucket, archive_places
from sealing_world import SealingWorld, opened

ARCHIVING = ["segment.after_put", "segment.before_manifest"]
SEGMENT = 300


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, tmp_path: Path) -> AsyncIterator[SealingWorld]:
    async with opened(database, tmp_path / "place") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(database: str, world: SealingWorld) -> AsyncIterator[Pool]:
    """Another database, empty, on the same server."""
    name = f"{database.rpartition('/')[2]}_restored"
    await world.pool.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await world.pool.execute(f'CREATE DATABASE "{name}"')
    async with await connect(f"{database.rpartition('/')[0]}/{name}", name="fresh") as pool:
        yield pool
    await world.pool.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def archiver(world: SealingWorld, segment_events: int = SEGMENT) -> LogArchiver:
    return LogArchiver(
        world.pool,
        world.store,
        Bucket(world.folder.as_uri()),
        SystemClock(),
        every_s=1,
        segment_events=segment_events,
    )


async def sealed(world: SealingWorld, *counts: int) -> None:
    for count in counts:
        await world.append(count)
        await world.sealer().seal_all()


def checked(world: SealingWorld, kept: tuple[str, ...] = (), key: str = "") -> Verdict:
    return verify(Bundle(world.folder), key, kept)


async def test_an_archive_grows_with_the_seals_and_holds(world: SealingWorld) -> None:
    await archiver(world).step()
    assert not (world.folder / "archive.json").exists()
    names: list[str] = []
    for counts in ((5,), (400, 350), (1,)):
        await sealed(world, *counts)
        await archiver(world).step()
        await archiver(world).step()
        assert checked(world).problem == ""
        here = sorted(one.name for one in (world.folder / "segments").iterdir())
        assert here[: len(names)] == names, "what is there is never written anew"
        names = here
    await world.append(3)
    await archiver(world).step()
    verdict = checked(world)
    assert (verdict.holds, verdict.kind, verdict.size, verdict.events) == (
        True,
        "archive",
        756,
        756,
    )
    assert names == [
        "000000000001-000000000005.jsonl.gz",
        "000000000006-000000000305.jsonl.gz",
        "000000000306-000000000605.jsonl.gz",
        "000000000606-000000000755.jsonl.gz",
        "000000000756-000000000756.jsonl.gz",
    ]
    newest = (world.folder / "checkpoint").read_text()
    assert checked(world, kept=(newest,), key=str((await world.store.keys())[0].verifier)).holds


@pytest.mark.faults
@pytest.mark.parametrize("name", ARCHIVING)
async def test_an_archiver_killed_at_a_step_leaves_what_holds_and_goes_on(
    world: SealingWorld, name: str
) -> None:
    await sealed(world, 100)
    await archiver(world).step()
    await sealed(world, 700)
    assert await world.run({name: "kill"}, f"archive {SEGMENT}") == -signal.SIGKILL
    assert checked(world).holds, "of before"
    await sealed(world, 50)
    await archiver(world).step()
    verdict = checked(world)
    assert (verdict.holds, verdict.events) == (True, 850)


async def test_two_archivers_write_one_archive(world: SealingWorld) -> None:
    await sealed(world, 900)
    await asyncio.gather(archiver(world).step(), archiver(world).step())
    assert checked(world).events == 900


async def test_a_place_that_is_away_holds_up_nothing_and_has_all_afterwards(
    world: SealingWorld,
) -> None:
    await sealed(world, 10)
    world.folder.mkdir(exist_ok=True)
    (world.folder / "segments").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="cannot be written"):
        await archiver(world).step()
    await sealed(world, 10)
    (world.folder / "segments").unlink()
    await archiver(world).step()
    assert checked(world).events == 20


async def test_an_event_altered_after_it_was_sealed_is_never_archived(world: SealingWorld) -> None:
    await sealed(world, 10)
    await world.alter("UPDATE log.event SET actor = 'users/eve' WHERE position = 7")
    with pytest.raises(DataLoss, match="event 7 is not as recorded"):
        await archiver(world).step()
    await world.alter(
        "WITH RECURSIVE made AS ("
        "  SELECT e.position, sha256((SELECT chain FROM log.event WHERE position = 6) || l.leaf)"
        "         AS chain FROM log.event e, leaves l WHERE e.position = 7 AND l.position = 7"
        "  UNION ALL"
        "  SELECT l.position, sha256(m.chain || l.leaf) FROM made m JOIN leaves l"
        "      ON l.position = m.position + 1),"
        " leaves AS (SELECT position, log.leaf(position, event_id, org_id, category, stream_id,"
        "      version, type, payload, actor, resource, correlation_id, causation_id,"
        "      traceparent, recorded_at) AS leaf FROM log.event)"
        " UPDATE log.event e SET chain = m.chain FROM made m WHERE e.position = m.position"
    )
    with pytest.raises(DataLoss, match="from 1 to 10 is not as it was sealed"):
        await archiver(world).step()
    assert not (world.folder / "segments").exists()


Edit = Callable[[list[dict[str, Any]]], None]


def edit(world: SealingWorld, name: str, change: Edit) -> None:
    """Rewrite the lines of a segment."""
    path = world.folder / name
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(rows)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def flipped(rows: list[dict[str, Any]]) -> None:
    payload = bytearray(base64.b64decode(rows[7]["payload"]))
    payload[0] ^= 1
    rows[7]["payload"] = base64.b64encode(bytes(payload)).decode()


def swapped(rows: list[dict[str, Any]]) -> None:
    rows[7], rows[8] = rows[8], rows[7]


def dropped(rows: list[dict[str, Any]]) -> None:
    del rows[7]


@pytest.mark.parametrize("change", [flipped, swapped, dropped])
async def test_what_was_done_to_a_segment_is_found_and_named(
    world: SealingWorld, fresh: Pool, change: Edit
) -> None:
    await sealed(world, 700)
    await archiver(world).step()
    edit(world, segment_name(301, 600), change)
    verdict = checked(world)
    assert (verdict.holds, verdict.first_bad_position) == (False, 307)
    with pytest.raises(DataLoss, match="307"):
        await restore(fresh, Bucket(world.folder.as_uri()))
    assert await fresh.fetchval("SELECT count(*) FROM log.event") == 0, "all or nothing"


async def test_missing_cut_and_rewritten_archives_are_found(
    world: SealingWorld, fresh: Pool
) -> None:
    await sealed(world, 700)
    await archiver(world).step()
    place = Bucket(world.folder.as_uri())
    path = world.folder / segment_name(301, 600)
    data = path.read_bytes()
    path.unlink()
    assert checked(world).first_bad_position == 301
    with pytest.raises(DataLoss, match="begins with position 301 is missing"):
        await restore(fresh, place)
    path.write_bytes(data[:-20])
    assert checked(world).first_bad_position == 301
    with pytest.raises(DataLoss, match="position 301"):
        await restore(fresh, place)
    path.write_bytes(data)
    assert checked(world).holds
    # A past that was written anew, chain and all, has not the signed root.
    (last,) = [one for one in ordered(await place.names("segments/")) if "700" in one]
    edit(world, last, _rewritten)
    verdict = checked(world)
    assert (verdict.first_bad_position, "rewritten after position 0" in verdict.problem) == (
        1,
        True,
    )
    with pytest.raises(DataLoss, match="rewritten after position 0 and not later than 700"):
        await restore(fresh, place)
    (world.folder / last).unlink()
    assert checked(world).first_bad_position == 601


def _rewritten(rows: list[dict[str, Any]]) -> None:

    rows[1]["actor"] = "users/eve"
    link = bytes.fromhex(rows[0]["chain_before"])
    for row in rows[1:]:
        link = hashlib.sha256(link + digest_of(row)).digest()
        row["chain"] = link.hex()
    rows[0]["chain"] = link.hex()


async def test_a_new_database_is_made_from_the_archive_and_goes_on(
    world: SealingWorld, fresh: Pool
) -> None:
    await sealed(world, 400, 300)
    await archiver(world).step()
    archive = await restore(fresh, Bucket(world.folder.as_uri()))
    assert archive.size == 700
    query = "SELECT * FROM log.event ORDER BY position"
    assert await fresh.fetch(query) == await world.pool.fetch(query)
    fork = await read_fork(fresh)
    assert fork is not None, "nothing that the past asked for is done again"
    assert (fork.position, fork.origin) == (700, await world.store.known_origin())
    assert fork.checkpoint == (world.folder / "checkpoint").read_text()
    for table in ("log.head", "log.stream"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert await fresh.fetch(query) == await world.pool.fetch(query), table
    *_, last = [one async for one in verify_chain(fresh)]
    assert (last.bad, last.checked) == (None, 700)
    with pytest.raises(FailedPrecondition, match="restore into a new one"):
        await restore(fresh, Bucket(world.folder.as_uri()))


async def test_names_of_people_are_kept_apart_and_gone_with_the_next_round(
    world: SealingWorld, fresh: Pool, tmp_path: Path
) -> None:
    subjects = Subjects(world.pool, SystemClock())
    stored = await subjects.pseudonyms(["users/ann", "users/bob"])
    await sealed(world, 5)
    await archiver(world).step()
    names = Bucket((tmp_path / "names").as_uri())
    keeper = NameArchiver(world.pool, names, SystemClock(), 1)
    await keeper.step()
    async with world.pool.acquire() as connection:
        await erase(connection, stored["users/bob"])
    assert b"users/bob" in (tmp_path / "names/names.jsonl").read_bytes()
    await keeper.step()
    kept = (tmp_path / "names/names.jsonl").read_bytes()
    assert b"users/bob" not in kept
    assert b"users/ann" in kept
    place = Bucket(world.folder.as_uri())
    head, _, _ = kept.partition(b"\n")
    for damaged in (kept.replace(b"users/ann", b"users/eve"), head + b"\n{}\n"):
        (tmp_path / "names/names.jsonl").write_bytes(damaged)
        with pytest.raises(DataLoss, match=r"line [23] of names\.jsonl"):
            await restore(fresh, place, "", names)
    (tmp_path / "names/names.jsonl").write_bytes(b'{"origin": "log.example.com/other"}\n')
    with pytest.raises(InvalidArgument, match="has the names of the log"):
        await restore(fresh, place, "", names)
    with pytest.raises(FailedPrecondition, match="EPOCHAL_AUDIT_ARCHIVE_NAMES another place"):
        await keeper.step()
    (tmp_path / "names/names.jsonl").write_bytes(b"")
    with pytest.raises(DataLoss, match="does not say which log"):
        await restore(fresh, place, "", names)
    (tmp_path / "names/names.jsonl").write_bytes(kept)
    await restore(fresh, place, "", names)
    query = "SELECT * FROM log.subject ORDER BY pseudonym"
    assert await fresh.fetch(query) == await world.pool.fetch(query)
    there = await Subjects(fresh, SystemClock()).names(stored.values())
    assert there == {
        stored["users/ann"]: "users/ann",
        stored["users/bob"]: stored["users/bob"],
    }
    await keeper.step()
    assert (tmp_path / "names/names.jsonl").read_bytes() == kept


async def test_a_place_with_another_log_is_left_alone(world: SealingWorld) -> None:
    await sealed(world, 5)
    await archiver(world).step()
    path = world.folder / "archive.json"
    manifest = json.loads(path.read_text()) | {"origin": "log.example.com/other"}
    path.write_text(json.dumps(manifest))
    await world.pool.execute("DELETE FROM lineage.log_archive")
    with pytest.raises(FailedPrecondition, match="has the archive of the log log"):
        await archiver(world).step()
    path.write_text("{")
    with pytest.raises(DataLoss, match="cannot be read"):
        await archiver(world).step()


async def test_only_a_key_that_led_to_the_signing_one_is_trusted(
    world: SealingWorld, fresh: Pool
) -> None:
    keyring = world.keyring(origin="log.example.com/x")
    await world.append(5)
    await world.sealer(keyring).seal_all()
    await archiver(world).step()
    await keyring.rotate()
    for _ in range(2):
        await world.append(5)
        await world.sealer(keyring).seal_all()
        await archiver(world).step()
    first, second = [str(one.verifier) for one in await world.store.keys()]
    assert checked(world, key=first).holds
    assert checked(world, key=second).holds
    stranger = str(Signer("log.example.com/x", b"\x09" * 32).verifier)
    assert "signed neither by" in checked(world, key=stranger).problem
    place = Bucket(world.folder.as_uri())
    with pytest.raises(DataLoss, match="signed neither by"):
        await restore(fresh, place, stranger)
    assert (await restore(fresh, place, first)).size == 15


async def test_the_program_says_what_it_did(world: SealingWorld, fresh: Pool) -> None:
    await sealed(world, 20)
    await archiver(world).step()
    url = f"{world.url.rpartition('/')[0]}/{await fresh.fetchval('SELECT current_database()')}"
    command = [sys.executable, "-m", "epochal_lineage.restoring"]

    async def run(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            env={**os.environ, "EPOCHAL_DATABASE_URL": url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        return process.returncode or 0, told.decode()

    code, told = await run(world.folder.as_uri())
    assert code == 0, told
    assert "20 events of" in told
    code, told = await run(world.folder.as_uri())
    assert code == 1
    assert "nothing was restored: the database has a log" in told
    code, told = await run("nowhere://x")
    assert code == 1


def test_it_wants_a_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EPOCHAL_DATABASE_URL", raising=False)
    assert main([tmp_path.as_uri()]) == 1


async def test_the_archive_is_checked_by_python_and_cryptography_alone(
    world: SealingWorld,
) -> None:
    await sealed(world, 30)
    await archiver(world).step()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        audit_verifier.__file__,
        str(world.folder),
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(told)["events"] == 30


async def test_rows_are_the_columns_that_are_stored(world: SealingWorld) -> None:
    await world.append(3)
    for record in await world.records():
        assert record_of(json.loads(json.dumps(row_of(record)))) == record


def test_archives_are_folders_or_buckets(tmp_path: Path) -> None:
    first, second = archive_places(f"file://{tmp_path}/a file://{tmp_path}/b")
    assert first.name != second.name
    with pytest.raises(InvalidArgument, match="no place for a log"):
        archive_places("nowhere://x")


def test_of_a_stretch_that_was_written_twice_the_longer_counts() -> None:
    names = [segment_name(*one) for one in ((1, 5), (1, 9), (10, 12), (6, 7))]
    assert ordered(names) == [segment_name(1, 9), segment_name(10, 12)]
    with pytest.raises(DataLoss, match="position 10 is missing"):
        ordered([segment_name(1, 9), segment_name(13, 14)])
    assert ordered(["checkpoint", "segments/x"]) == []
