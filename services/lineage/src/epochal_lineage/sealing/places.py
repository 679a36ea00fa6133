"""Where checkpoints and tiles go: a folder, S3, GCS or Azure by obstore; a webhook by httpx."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import obstore
from epochal_kernel.errors import InvalidArgument, Unavailable
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

WEBHOOK_TIMEOUT_S = 10.0


class Bucket:
    """A folder or a bucket, and a prefix in it."""

    def __init__(self, url: str, prefix: str = "") -> None:
        """Open it; a folder is made when it is not there.

        Raises:
            InvalidArgument: no store has such a URL.
        """
        self._store = _open(url)
        self._prefix = prefix
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname or ''}{parts.path}#{prefix}"

    @property
    def name(self) -> str:
        """Its URL without account and query, which may be secret."""
        return self._name

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Write one file, whole or not at all.

        Raises:
            Unavailable: the store does not answer.
        """
        attributes = None if isinstance(self._store, LocalStore) else {"Content-Type": media_type}
        try:
            await obstore.put_async(
                self._store, self._prefix + path, content, attributes=attributes
            )
        except (BaseError, OSError) as error:
            raise Unavailable(
                f"{self._name} cannot be written: {str(error)[:300]}", reason="STORE_UNAVAILABLE"
            ) from error


class Webhook:
    """A URL that is sent each new checkpoint as the body of a POST."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    @property
    def name(self) -> str:
        """Its URL without account and query, which may be secret."""
        return self._name

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Send a checkpoint; names with a size are for folders, so they are left out.

        Raises:
            Unavailable: the receiver does not take it.
        """
        if path != "checkpoint":
            return
        try:
            async with httpx.AsyncClient(
                timeout=WEBHOOK_TIMEOUT_S, follow_redirects=False
            ) as client:
                answer = await client.post(
                    self._url, content=content, headers={"content-type": media_type}
                )
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._name} does not answer: {type(error).__name__}") from error
        if not answer.is_success:
            raise Unavailable(f"{self._name} answered {answer.status_code}")


def checkpoint_places(text: str) -> list[Bucket | Webhook]:
    """Open the places named by a setting, with spaces between.

    Raises:
        InvalidArgument: one is no place.
    """
    return [
        Webhook(url) if urlsplit(url).scheme in ("http", "https") else Bucket(url, "")
        for url in text.split()
    ]


def _open(url: str) -> ObjectStore:
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True)
            return LocalStore(folder)
        return from_url(url)
    except (BaseError, ValueError, OSError) as error:
        raise InvalidArgument(f"{url.split('?')[0]} is no place for a log: {error}") from error
