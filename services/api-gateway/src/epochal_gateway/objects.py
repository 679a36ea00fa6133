"""The object store: content-addressed objects in a folder, S3, GCS or Azure, by obstore.

An object's name is the sha256 of its bytes, so an upload that comes twice is stored once and a
name never changes its meaning. Bytes are streamed both ways, a few megabytes in memory at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import obstore
from epochal_kernel.errors import (
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

CHUNK_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is in the store: its sha256 and size."""

    sha256: bytes
    size_bytes: int


def open_store(url: str) -> ObjectStore:
    """Open a store by URL; a folder is made when it is not there.

    Raises:
        InvalidArgument: no store has such a URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise InvalidArgument(f"EPOCHAL_OBJECT_STORE_URL: {error}") from error


class Objects:
    """Puts and gets objects by digest."""

    def __init__(self, store: ObjectStore, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes

    async def put(
        self, upload_id: UUID, parts: AsyncIterator[bytes], expected: bytes | None
    ) -> Stored:
        """Stream bytes in under a temporary name, then give them the name of their digest.

        Args:
            upload_id: makes the temporary name.
            parts: the bytes.
            expected: sha256 they must have, if the client said.

        Raises:
            InvalidArgument: the bytes have another sha256 than expected; nothing is kept.
            ResourceExhausted: too large, or the store is full; nothing is kept.
            Unavailable: the store does not answer.
        """
        hasher, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for part in _hashed(parts, hasher, self._max_bytes):
                size += len(part)
                yield part

        temporary = f"uploads/{upload_id}"
        kept = False
        try:
            await obstore.put_async(
                self._store, temporary, counted(), chunk_size=CHUNK_BYTES, max_concurrency=2
            )
            digest = hasher.digest()
            if expected is not None and expected != digest:
                raise InvalidArgument(
                    f"the bytes have sha256 {digest.hex()}, not {expected.hex()}: send them again",
                    reason="DIGEST_MISMATCH",
                    violations=[
                        Violation("Epochal-Content-Sha256", "sha256", "must match the bytes")
                    ],
                )
            await obstore.rename_async(self._store, temporary, object_name(digest))
            kept = True
        except BaseError as error:
            raise _adapted(error) from error
        finally:
            if not kept:
                await self._discard(temporary)
        return Stored(digest, size)

    async def get(self, sha256: bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """Stream bytes [start, end) of an object.

        Raises:
            NotFound: the store has no such object.
            Unavailable: the store does not answer.
        """
        if start == end:
            return
        try:
            result = await obstore.get_async(
                self._store, object_name(sha256), options={"range": (start, end)}
            )
            async for part in result.stream(min_chunk_size=1024 * 1024):
                yield bytes(part)
        except FileNotFoundError as error:
            raise NotFound(f"the object store has lost sha256:{sha256.hex()}") from error
        except BaseError as error:
            raise _adapted(error) from error

    async def put_part(self, upload_id: UUID, number: int, parts: AsyncIterator[bytes]) -> bytes:
        """Keep one part of an upload until the whole is made; returns its sha256.

        Raises:
            ResourceExhausted: too large, or the store is full; nothing is kept.
            Unavailable: the store does not answer.
        """
        hasher = hashlib.sha256()
        name, kept = _part_name(upload_id, number), False
        try:
            await obstore.put_async(
                self._store,
                name,
                _hashed(parts, hasher, self._max_bytes),
                chunk_size=CHUNK_BYTES,
                max_concurrency=2,
            )
            kept = True
        except BaseError as error:
            raise _adapted(error) from error
        finally:
            if not kept:
                await self._discard(name)
        return hasher.digest()

    async def joined(self, upload_id: UUID, digests: Mapping[int, bytes]) -> AsyncIterator[bytes]:
        """Stream the parts of an upload one after the other, by number.

        Raises:
            InvalidArgument: a part is not there, or not the one of that digest.
            Unavailable: the store does not answer.
        """
        for number, digest in sorted(digests.items()):
            hasher = hashlib.sha256()
            try:
                result = await obstore.get_async(self._store, _part_name(upload_id, number))
                async for part in result.stream(min_chunk_size=1024 * 1024):
                    hasher.update(part)
                    yield bytes(part)
            except FileNotFoundError:
                raise InvalidArgument(f"part {number} is not there: send it again") from None
            except BaseError as error:
                raise _adapted(error) from error
            if hasher.digest() != digest:
                raise InvalidArgument(f"part {number} is another one: send it again")

    async def discard_parts(self, upload_id: UUID) -> None:
        """Remove the parts of an upload, as far as there are any."""
        try:
            async for page in obstore.list(self._store, prefix=f"uploads/{upload_id}"):
                await obstore.delete_async(self._store, [one["path"] for one in page])
        except (BaseError, FileNotFoundError):
            return  # none, or another call removes them

    async def delete(self, sha256: bytes, min_age_s: float, now: datetime) -> bool:
        """Delete an object; False when it was uploaded too lately, and stays.

        Raises:
            Unavailable: the store does not answer.
        """
        name = object_name(sha256)
        try:
            found = await obstore.head_async(self._store, name)
            if (now - found["last_modified"]).total_seconds() < min_age_s:
                return False
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return True
        except BaseError as error:
            raise _adapted(error) from error
        return True

    async def _discard(self, name: str) -> None:
        try:
            await obstore.delete_async(self._store, name)
        except (BaseError, FileNotFoundError):
            return  # never written; nothing to discard


async def _hashed(
    parts: AsyncIterator[bytes], hasher: hashlib._Hash, most: int
) -> AsyncIterator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise ResourceExhausted(
                f"the artifact is larger than {most} bytes", reason="ARTIFACT_TOO_LARGE"
            )
        hasher.update(part)
        yield part


def _part_name(upload_id: UUID, number: int) -> str:
    return f"uploads/{upload_id}/{number}"


def object_name(sha256: bytes) -> str:
    """Return the name of the object with a digest."""
    text = sha256.hex()
    return f"sha256/{text[:2]}/{text[2:]}"


def _adapted(error: BaseError) -> Unavailable | ResourceExhausted:
    text = str(error)
    if "No space left" in text or "os error 28" in text:
        return ResourceExhausted("the object store is full", reason="STORE_FULL")
    return Unavailable(f"the object store failed: {text[:300]}", reason="STORE_UNAVAILABLE")
