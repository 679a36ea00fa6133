"""Sealing a real log: what is signed is the tree, whoever dies and whoever else seals."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from epochal_kernel.log.chain import leaf
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.notes import VerifierKey, split_note
from epochal_lineage.domain.tlog.tiles import entries_path, tile_path, tiles_between
from epochal_lineage.sealing.places import checkpoint_places
from epochal_lineage.sealing.publishing import CheckpointPublisher
from epochal_lineage.sealing.sealer import AlteredEvent
from sealing_world import SealingWorld, opened

SEALING = ["seal.before_commit", "seal.after_commit"]
PUBLISHING = ["seal.after_tile"]


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str, tmp_path: Path) -> AsyncIterator[SealingWorld]:
    async with opened(database, tmp_path) as made:
        yield made


async def test_every_event_is_in_the_signed_tree(world: SealingWorld) -> None:
    await world.sealer().step()
    assert await world.store.last() is None
    sealer = world.sealer()
    for count in (1, 254, 1, 300, 6_000):
        await world.append(count)
        await sealer.seal_all()
        await world.check()
    assert (await world.check()).size == 6_556
    assert len({key.verifier for key in await world.store.keys()}) == 1


async def test_sealing_waits_for_enough_events_or_time(world: SealingWorld) -> None:
    sealer = world.sealer()
    sealer._every_events, sealer._every_s = 3, 1e9
    await world.append(1)
    await sealer.step()  # the first is sealed at once
    await world.append(2)
    await sealer.step()
    assert (await world.check()).size == 1
    await world.append(1)
    await sealer.step()
    assert (await world.check()).size == 4


async def test_two_sealers_make_one_history(world: SealingWorld) -> None:
    sealers = [world.sealer(), world.sealer()]
    for count in (3, 300, 5_300):
        await world.append(count)
        await asyncio.gather(*(sealer.seal_all() for sealer in sealers))
        await world.check()
    assert (await world.check()).size == 5_603


@pytest.mark.faults
@pytest.mark.parametrize("name", SEALING)
async def test_sealer_killed_is_followed_by_one_that_seals_the_same_tree(
    world: SealingWorld, name: str
) -> None:
    await world.append(5_400)
    assert await world.run({name: "kill@2"}, "seal") == -signal.SIGKILL
    left = await world.store.last()
    assert left is not None
    assert left.size == (5_000 if name == "seal.before_commit" else 5_400)
    await world.append(10)
    await world.sealer().seal_all()
    assert (await world.check()).size == 5_410


@pytest.mark.faults
@pytest.mark.parametrize("name", PUBLISHING)
async def test_tiles_are_whole_after_the_publisher_was_killed(
    world: SealingWorld, name: str
) -> None:
    await world.append(1_000)
    await world.sealer().seal_all()
    assert await world.run({name: "kill@3"}, "publish") == -signal.SIGKILL
    assert not (world.folder / "tlog/checkpoint").exists(), "a checkpoint follows its tiles"
    await world.publisher().step()
    await published(world)


async def published(world: SealingWorld) -> None:
    seal = await world.store.last()
    assert seal is not None
    assert (world.folder / "tlog/checkpoint").read_text() == seal.note
    hashes = b"".join(leaf_hash(leaf(record)) for record in await world.records())
    for tile, width in tiles_between(0, seal.size):
        content = (world.folder / "tlog" / tile_path(tile, width)).read_bytes()
        assert len(content) == 32 * width
        if tile.level == 0:
            assert content == hashes[tile.place * 8_192 :][: 32 * width]
            bundle = (world.folder / "tlog" / entries_path(tile.place, width)).read_bytes()
            entries = [bundle[at + 2 : at + 34] for at in range(0, len(bundle), 34)]
            assert b"".join(map(leaf_hash, entries)) == content


async def test_tiles_and_checkpoint_are_where_c2sp_says(world: SealingWorld) -> None:
    for count in (100, 200, 70_000):
        await world.append(count)
        await world.sealer().seal_all()
        await world.publisher().step()
    await published(world)
    assert (world.folder / "tlog/tile/0/000").stat().st_size == 8_192
    assert (world.folder / "tlog/tile/0/000.p/100").exists()
    assert (world.folder / "tlog/tile/1/000").exists()
    assert (world.folder / "tlog/tile/2/000.p/1").exists()


async def test_store_that_is_down_holds_up_no_seal_and_has_all_afterwards(
    world: SealingWorld,
) -> None:
    await world.append(10)
    (world.folder / "tlog").write_text("a file where a folder should be")
    await world.sealer().seal_all()
    with pytest.raises(Unavailable, match="cannot be written"):
        await world.publisher().step()
    await world.append(10)
    await world.sealer().seal_all()
    (world.folder / "tlog").unlink()
    await world.publisher().step()
    await published(world)


async def test_checkpoints_are_left_outside_under_their_size(
    world: SealingWorld, tmp_path: Path
) -> None:
    places = checkpoint_places(f"file://{tmp_path}/a file://{tmp_path}/b")
    publisher = CheckpointPublisher(world.store, places, SystemClock(), 1)
    await publisher.publish(places[0])
    assert not (tmp_path / "a/checkpoint").exists()
    for _ in range(2):
        await world.append(5)
        await world.sealer().seal_all()
        for place in places:
            await publisher.publish(place)
    for name in ("a", "b"):
        assert sorted(one.name for one in (tmp_path / name / "checkpoints").iterdir()) == [
            "10",
            "5",
        ]
        latest = (tmp_path / name / "checkpoint").read_text()
        assert latest == (tmp_path / name / "checkpoints/10").read_text()


async def test_checkpoints_are_not_left_where_another_log_has_its_own(
    world: SealingWorld, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").write_text("log.other.org/epochal\n5\n")
    (place,) = checkpoint_places(f"file://{tmp_path}")
    await world.append(5)
    await world.sealer().seal_all()
    with pytest.raises(FailedPrecondition, match=r"checkpoints of log[.]other[.]org/epochal"):
        await CheckpointPublisher(world.store, [place], SystemClock(), 1).publish(place)
    assert os.listdir(tmp_path) == ["checkpoint"]


class _Mail:
    """Keeps what it is sent; refuses the first."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.refusals = 1

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refusals:
            self.refusals -= 1
            return "451 later"
        self.received.append(envelope)
        return "250 taken"


async def test_checkpoints_go_out_by_mail_and_a_refusal_is_made_up_for(world: SealingWorld) -> None:
    mail, loop = _Mail(), asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(mail, loop=loop), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    (place,) = checkpoint_places(
        f"smtp://127.0.0.1:{port}/auditor@example.org?from=log@example.com&tls=none"
    )
    publisher = CheckpointPublisher(world.store, [place], SystemClock(), 1)
    await world.append(5)
    await world.sealer().seal_all()
    with pytest.raises(Unavailable, match=r"auditor@example[.]org does not take mail"):
        await publisher.publish(place)
    for _ in range(2):  # the second has nothing new to say
        await publisher.publish(place)
    listener.close()
    (envelope,) = mail.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("log@example.com", ["auditor@example.org"])
    assert isinstance(envelope.content, bytes)
    sent = message_from_bytes(envelope.content, policy=default)
    (attached,) = sent.iter_attachments()
    seal = await world.store.last()
    assert seal is not None
    assert attached.get_content().replace("\r\n", "\n") == seal.note
    assert attached.get_filename() == "checkpoint-5.txt"


@dataclass
class Sent:
    """What a server was sent; it refuses the first."""

    url: str = ""
    requests: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    refusals: int = 1


@pytest.fixture
def receiver() -> Iterator[Sent]:
    """A server that takes a POST, or a PUT as a bucket does."""
    sent = Sent()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            if sent.refusals:
                sent.refusals -= 1
                self.send_response(403)
            else:
                media_type = self.headers.get("content-type", "")
                sent.requests.append((self.command, self.path, body, media_type))
                self.send_response(200)
                self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    sent.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_checkpoints_go_to_a_webhook_and_a_refusal_is_made_up_for(
    world: SealingWorld, receiver: Sent
) -> None:
    (place,) = checkpoint_places(f"{receiver.url}/audit?token=secret")
    assert "secret" not in place.name
    publisher = CheckpointPublisher(world.store, [place], SystemClock(), 1)
    await world.append(5)
    await world.sealer().seal_all()
    with pytest.raises(Unavailable, match="answered 403"):
        await publisher.publish(place)
    for _ in range(2):  # the second has nothing new to say
        await publisher.publish(place)
    seal = await world.store.last()
    assert seal is not None
    ((command, path, body, media_type),) = receiver.requests
    assert (command, path, body.decode()) == ("POST", "/audit?token=secret", seal.note)
    assert media_type.startswith("text/plain")


async def test_checkpoints_go_to_a_bucket_under_their_size_and_a_refusal_is_made_up_for(
    world: SealingWorld, receiver: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": receiver.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    (place,) = checkpoint_places("s3://audit/log")
    publisher = CheckpointPublisher(world.store, [place], SystemClock(), 1)
    await world.append(5)
    await world.sealer().seal_all()
    with pytest.raises(Unavailable, match="cannot be written"):
        await publisher.publish(place)
    await publisher.publish(place)
    seal = await world.store.last()
    assert seal is not None
    assert [(one[0], one[1], one[2].decode()) for one in receiver.requests] == [
        ("PUT", "/audit/log/checkpoints/5", seal.note),
        ("PUT", "/audit/log/checkpoint", seal.note),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "nowhere://x",
        "smtp://mail.example.org",
        "smtp:///ann@example.org",
        "smtp://mail.example.org/ann@example.org?tls=maybe",
        "smtp://mail.example.org/ann@example.org?cc=bob@example.org",
    ],
)
def test_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"no place for a log|is no mailbox"):
        checkpoint_places(url)


async def test_altered_event_is_never_sealed(world: SealingWorld) -> None:
    await world.append(10)
    await world.alter("UPDATE log.event SET actor = 'users/eve' WHERE position = 7")
    with pytest.raises(AlteredEvent, match="event 7 is not as recorded"):
        await world.sealer().seal_all()
    assert await world.store.last() is None


async def test_event_altered_after_it_was_sealed_is_not_published(world: SealingWorld) -> None:
    await world.append(10)
    await world.sealer().seal_all()
    await world.alter("UPDATE log.event SET actor = 'users/eve' WHERE position = 7")
    with pytest.raises(DataLoss, match="an event from 1 to 10 is not as it was sealed"):
        await world.publisher().step()


async def test_rotated_key_is_introduced_by_the_one_before(world: SealingWorld) -> None:
    keyring = world.keyring(origin="log.example.com/x")
    await world.append(1)
    await world.sealer(keyring).seal_all()
    await world.check()
    new = await keyring.rotate()
    for _ in range(2):
        await world.append(1)
        await world.sealer(keyring).seal_all()
        await world.check()
    old = VerifierKey.parse((await world.store.keys())[0].verifier)
    first, handover, after = await world.store.notes(0, 100, 100)
    assert (first.hands_over, handover.hands_over, after.hands_over) == (False, True, False)
    text, signatures = split_note(handover.note)
    for key in (old, new):
        assert any(one.is_by(key) and key.verifies(text, one.signature) for one in signatures)
    assert [one.is_by(new) for one in split_note(after.note)[1]] == [True]
    assert await world.store.handovers() == [handover.note]
    assert str(new).startswith("log.example.com/x+")


async def test_key_from_the_settings_is_never_stored(world: SealingWorld) -> None:
    seed = base64.b64encode(b"\x05" * 32).decode()
    keyring = world.keyring(secret="", configured=seed)
    await world.append(1)
    await world.sealer(keyring).seal_all()
    await world.check()
    (kept,) = await world.store.keys()
    assert kept.sealed is None
    with pytest.raises(FailedPrecondition, match="EPOCHAL_AUDIT_SIGNING_KEY"):
        await keyring.rotate()
    with pytest.raises(FailedPrecondition, match="which is not set now"):
        await world.keyring().open()


async def test_nothing_is_signed_without_a_key_or_with_the_wrong_secret(
    world: SealingWorld,
) -> None:
    await world.append(1)
    with pytest.raises(FailedPrecondition, match="set EPOCHAL_SECRET_KEY"):
        await world.sealer(world.keyring(secret="")).seal_all()
    await world.keyring().open()
    with pytest.raises(DataLoss, match="another EPOCHAL_SECRET_KEY"):
        await world.keyring(secret="other").open()
    with pytest.raises(FailedPrecondition, match="is sealed"):
        await world.keyring(secret="").open()
    with pytest.raises(InvalidArgument, match="32 bytes"):
        world.keyring(configured="AAAA")
