"""The object store, in a folder and on a real S3 server: nothing half-done is kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from epochal_gateway.objects import Objects, object_name, open_store
from epochal_kernel.errors import InvalidArgument, NotFound, ResourceExhausted
from moto.server import ThreadedMotoServer
from obstore.store import ObjectStore, S3Store

BIG = 12 * 1024 * 1024  # three parts of a multipart upload


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store((tmp_path / "made on demand").as_uri())
    import httpx

    endpoint = request.getfixturevalue("s3")
    bucket = f"epochal-{uuid4().hex[:8]}"
    httpx.put(f"{endpoint}/{bucket}").raise_for_status()
    return S3Store(
        bucket,
        prefix="below",
        endpoint=endpoint,
        access_key_id="test",
        secret_access_key="test",
        region="us-east-1",
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


def names(store: ObjectStore) -> set[str]:
    return {entry["path"] for page in obstore.list(store) for entry in page}


async def read(objects: Objects, sha256: bytes, start: int, end: int) -> bytes:
    return b"".join([part async for part in objects.get(sha256, start, end)])


async def test_bytes_come_back_whole_and_in_part(store: ObjectStore) -> None:
    objects = Objects(store, BIG)
    data = hashlib.shake_128(b"seed").digest(BIG)
    cut = [data[at : at + 700_001] for at in range(0, BIG, 700_001)]
    stored = await objects.put(uuid4(), parts(*cut), None)
    assert (stored.sha256, stored.size_bytes) == (hashlib.sha256(data).digest(), BIG)
    assert names(store) == {object_name(stored.sha256)}
    assert await read(objects, stored.sha256, 0, BIG) == data
    assert await read(objects, stored.sha256, 5, 17) == data[5:17]
    assert await read(objects, stored.sha256, 5, 5) == b""


async def test_the_same_bytes_are_stored_once(store: ObjectStore) -> None:
    objects = Objects(store, 100)
    first = await objects.put(uuid4(), parts(b"abc"), hashlib.sha256(b"abc").digest())
    again = await objects.put(uuid4(), parts(b"a", b"bc"), None)
    assert first == again
    assert names(store) == {object_name(first.sha256)}
    assert await read(objects, first.sha256, 0, 3) == b"abc"


async def test_an_empty_object_is_one(store: ObjectStore) -> None:
    objects = Objects(store, 100)
    stored = await objects.put(uuid4(), parts(), None)
    assert (stored.sha256, stored.size_bytes) == (hashlib.sha256(b"").digest(), 0)
    assert names(store) == {object_name(stored.sha256)}


async def test_other_bytes_than_promised_leave_nothing(store: ObjectStore) -> None:
    objects = Objects(store, 100)
    with pytest.raises(InvalidArgument, match="send them again") as caught:
        await objects.put(uuid4(), parts(b"abc"), hashlib.sha256(b"abd").digest())
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert names(store) == set()


@pytest.mark.parametrize("limit", [2, 6 * 1024 * 1024])
async def test_too_many_bytes_leave_nothing(store: ObjectStore, limit: int) -> None:
    objects = Objects(store, limit)
    with pytest.raises(ResourceExhausted) as caught:
        await objects.put(uuid4(), parts(*[bytes(1024 * 1024)] * 12), None)
    assert caught.value.reason == "ARTIFACT_TOO_LARGE"
    assert names(store) == set()


async def test_an_upload_that_breaks_off_leaves_nothing(store: ObjectStore) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield bytes(1024)
        raise InvalidArgument("the upload ended early")

    with pytest.raises(InvalidArgument, match="ended early"):
        await Objects(store, 10_000).put(uuid4(), breaking(), None)
    assert names(store) == set()


async def test_what_is_not_there_is_said_to_be_lost(store: ObjectStore) -> None:
    with pytest.raises(NotFound, match="has lost sha256:"):
        await read(Objects(store, 100), bytes(32), 0, 1)


@pytest.mark.parametrize("url", ["ftp://x/y", "nonsense", "s3://"])
def test_an_url_of_no_store_is_refused_by_the_setting_s_name(url: str) -> None:
    with pytest.raises(InvalidArgument, match="EPOCHAL_OBJECT_STORE_URL"):
        open_store(url)


async def test_an_object_is_deleted_unless_it_was_uploaded_lately(store: ObjectStore) -> None:
    objects = Objects(store, 100)
    stored = await objects.put(uuid4(), parts(b"old"), None)
    later = datetime.now(UTC) + timedelta(hours=2)
    assert not await objects.delete(stored.sha256, 7_300, later)
    assert [part async for part in objects.get(stored.sha256, 0, 3)] == [b"old"]
    assert await objects.delete(stored.sha256, 3_600, later)
    with pytest.raises(NotFound):
        [part async for part in objects.get(stored.sha256, 0, 3)]
    assert await objects.delete(stored.sha256, 3_600, later), "what is gone is gone"
