"""The object store, as far as archives need it: whole objects under the sha256 of their bytes.

Names are those that the gateway gives artifacts, so that one deletion serves both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from epochal_kernel.errors import DataLoss, InvalidArgument, ResourceExhausted, Unavailable
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url


class ArchiveObjects:
    """Puts and gets objects of a few megabytes."""

    def __init__(self, url: str) -> None:
        """Open the store; a folder is made when it is not there.

        Raises:
            InvalidArgument: no store has such a URL.
        """
        parts = urlsplit(url)
        try:
            if parts.scheme == "file":
                folder = Path(unquote(parts.path))
                folder.mkdir(parents=True, exist_ok=True)
                self._store: ObjectStore = LocalStore(folder)
            else:
                self._store = from_url(url)
        except (BaseError, ValueError, OSError) as error:
            raise InvalidArgument(f"EPOCHAL_OBJECT_STORE_URL: {error}") from error

    async def put(self, data: bytes) -> bytes:
        """Store bytes, whole or not at all, and return their sha256; twice is once.

        Raises:
            Unavailable: the store does not answer.
            ResourceExhausted: the store is full.
        """
        digest = hashlib.sha256(data).digest()
        try:
            await obstore.put_async(self._store, object_name(digest), data)
        except (BaseError, OSError) as error:
            raise _adapted(error) from error
        return digest

    async def get(self, sha256: bytes) -> bytes:
        """Return the bytes of an object; whether they are those of its name is the caller's to see.

        Raises:
            DataLoss: it is not there.
            Unavailable: the store does not answer.
        """
        try:
            found = await obstore.get_async(self._store, object_name(sha256))
            return bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise DataLoss(f"the object store has lost sha256:{sha256.hex()}") from error
        except (BaseError, OSError) as error:
            raise _adapted(error) from error


def object_name(sha256: bytes) -> str:
    """Return the name of the object with a digest."""
    text = sha256.hex()
    return f"sha256/{text[:2]}/{text[2:]}"


def _adapted(error: Exception) -> Unavailable | ResourceExhausted:
    text = str(error)
    if "No space left" in text or "os error 28" in text:
        return ResourceExhausted("the object store is full", reason="STORE_FULL")
    return Unavailable(f"the object store failed: {text[:300]}", reason="STORE_UNAVAILABLE")
