"""Where checkpoints and tiles go: a folder or bucket; checkpoints also by webhook or mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
import httpx
import obstore
from epochal_kernel.errors import DataLoss, InvalidArgument, Unavailable
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

WEBHOOK_TIMEOUT_S = 10.0
_TLS = ("none", "starttls", "tls")


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

    async def get(self, path: str) -> bytes:
        """Read one file.

        Raises:
            DataLoss: it is not there.
            Unavailable: the store does not answer.
        """
        try:
            found = await obstore.get_async(self._store, self._prefix + path)
            return bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise DataLoss(f"{self._name} has no {path}") from error
        except (BaseError, OSError) as error:
            raise self._unavailable("read", error) from error

    async def names(self, below: str) -> list[str]:
        """Return the paths of all files below one, in order.

        Raises:
            Unavailable: the store does not answer.
        """
        found: list[str] = []
        try:
            async for page in obstore.list(self._store, prefix=self._prefix + below):
                found += [str(one["path"]).removeprefix(self._prefix) for one in page]
        except (BaseError, OSError) as error:
            raise self._unavailable("listed", error) from error
        return sorted(found)

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
            raise self._unavailable("written", error) from error

    def _unavailable(self, done: str, error: Exception) -> Unavailable:
        return Unavailable(
            f"{self._name} cannot be {done}: {str(error)[:300]}", reason="STORE_UNAVAILABLE"
        )


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


class Mailbox:
    """Somebody who is sent each new checkpoint by mail, as its text."""

    def __init__(self, url: str) -> None:
        """Take `smtp://[USER:PASSWORD@]HOST[:PORT]/ADDRESS[?from=ADDRESS&tls=none|starttls|tls]`.

        Raises:
            InvalidArgument: the URL names no address, or no way to secure the connection.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        self._to = unquote(parts.path.lstrip("/"))
        self._from = options.pop("from", self._to)
        self._tls = options.pop("tls", "starttls")
        self._host, self._port = parts.hostname or "", parts.port
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        if "@" not in self._to or not self._host or self._tls not in _TLS or options:
            raise InvalidArgument(
                f"{self.name} is no mailbox: write "
                "smtp://USER:PASSWORD@HOST:PORT/ADDRESS?from=ADDRESS&tls=none|starttls|tls"
            )

    @property
    def name(self) -> str:
        """Its URL without account, which may be secret."""
        return f"smtp://{self._host}/{self._to}"

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Send a checkpoint; names with a size are for folders, so they are left out.

        Raises:
            Unavailable: the server does not take it.
        """
        if path != "checkpoint":
            return
        note = content.decode()
        origin, size = note.split("\n", 2)[:2]
        mail = EmailMessage()
        mail["From"], mail["To"] = self._from, self._to
        mail["Subject"] = f"Checkpoint of {origin}: {size} events"
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(
            "Keep the attachment. Whoever has it can tell whether any of the first "
            f"{size} events was rewritten: epochal audit verify --checkpoint FILE\n"
        )
        mail.add_attachment(note, "plain", filename=f"checkpoint-{size}.txt")
        try:
            await aiosmtplib.send(
                mail,
                hostname=self._host,
                port=self._port,
                username=self._user or None,
                password=self._password or None,
                use_tls=self._tls == "tls",
                start_tls=self._tls == "starttls",
                timeout=WEBHOOK_TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Unavailable(f"{self.name} does not take mail: {error}") from error


def checkpoint_places(text: str) -> list[Bucket | Webhook | Mailbox]:
    """Open the places named by a setting, with spaces between.

    Raises:
        InvalidArgument: one is no place.
    """
    return [_place(url) for url in text.split()]


def archive_places(text: str) -> list[Bucket]:
    """Open the folders and buckets named by a setting, with spaces between.

    Raises:
        InvalidArgument: one is none.
    """
    return [Bucket(url, "") for url in text.split()]


def _place(url: str) -> Bucket | Webhook | Mailbox:
    match urlsplit(url).scheme:
        case "http" | "https":
            return Webhook(url)
        case "smtp":
            return Mailbox(url)
        case _:
            return Bucket(url, "")


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
