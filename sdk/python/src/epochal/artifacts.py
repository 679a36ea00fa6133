"""Bytes of artifacts over the gateway's HTTP door, streamed both ways and verified by sha256."""

from __future__ import annotations

import hashlib
import mimetypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import epochal_proto.v1 as pb

from epochal.client import Client
from epochal.config import Connection
from epochal.discovery import http_client, unreachable
from epochal.errors import DataLoss, EpochalError, InvalidArgument, Violation
from epochal.retrying import Backoff
from epochal.statuses import from_problem

if TYPE_CHECKING:
    import httpx

_CHUNK_BYTES: Final = 1024 * 1024
_READ_S: Final = 120.0

Progress = Callable[[int], None]


class ArtifactDoor:
    """Uploads and downloads for one client; keeps its connection open between files."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._http: httpx.Client | None = None
        self._connection: Connection | None = None

    def put(
        self,
        run: str,
        path: str,
        file: Path,
        *,
        sha256: bytes,
        kind: str,
        patience_s: float = 10.0,
        progress: Progress = lambda _: None,
        copy_source: str = "",
    ) -> None:
        """Uploads one file to `path` under the run; a repeat of the same bytes changes nothing.

        Where `copy_source` names an artifact that has these bytes, none are sent; they are, when
        it has not.

        Raises:
            EpochalError: It was refused, or the platform stayed away for `patience_s`.
            OSError: The file cannot be read.
        """
        headers = {
            "content-type": media_type(path),
            "content-length": str(file.stat().st_size),
            "epochal-artifact-kind": kind,
            "epochal-content-sha256": sha256.hex(),
        }
        if copy_source and self._copied(run, path, headers, copy_source):
            return
        give_up_at = time.monotonic() + patience_s
        backoff = Backoff()
        while True:
            try:
                answer = self._send("PUT", _url(run, path), headers, _chunks(file, progress))
                break
            except EpochalError as error:
                delay_s = backoff.next_delay_s(error)
                if not error.retryable or time.monotonic() + delay_s > give_up_at:
                    raise
            time.sleep(delay_s)
            self._client.relocate()
        self._saw(answer)

    def _copied(self, run: str, path: str, headers: dict[str, str], source: str) -> bool:
        """Whether the platform took the bytes from an artifact that it has."""
        asked = {**headers, "content-length": "0", "epochal-copy-source": source}
        try:
            answer = self._send("PUT", _url(run, path), asked, iter(()))
        except EpochalError:
            return False  # whatever it was: sending the bytes will do, or tell
        self._saw(answer)
        return True

    def _saw(self, answer: httpx.Response) -> None:
        position = answer.headers.get("epochal-position", "")
        if position.isdecimal():
            self._client.saw_position(int(position))

    def get(
        self, run: str, path: str, target: Path, *, digest: str, progress: Progress = lambda _: None
    ) -> None:
        """Downloads one file; `target` appears only when it is whole and has the digest.

        Raises:
            EpochalError: It is not there, or the platform is away.
            DataLoss: The bytes have another digest.
        """
        import httpx

        actual = hashlib.sha256()
        partial = target.with_name(f".{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                self._open().stream("GET", _url(run, path)) as answer,
                partial.open("wb") as file,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise from_problem(answer.status_code, answer.read())
                for chunk in answer.iter_bytes(_CHUNK_BYTES):
                    actual.update(chunk)
                    file.write(chunk)
                    progress(len(chunk))
            if digest and digest != f"sha256:{actual.hexdigest()}":
                raise DataLoss(f"{path} has another digest than was recorded; nothing was kept")
            partial.replace(target)
        except httpx.TransportError as error:
            raise unreachable(self._client.connection, str(error)) from error
        finally:
            partial.unlink(missing_ok=True)

    def read_record(self, run: str, record: pb.Record) -> bytes:
        """Reads the bytes of one record from its place in its artifact.

        Raises:
            EpochalError: They are not there, or the platform is away.
            DataLoss: The bytes have another digest.
        """
        import httpx

        if not record.size_bytes:
            return b""
        last = record.offset + record.size_bytes - 1
        headers = {"range": f"bytes={record.offset}-{last}"}
        try:
            answer = self._open().get(_url(run, record.path), headers=headers)
        except httpx.TransportError as error:
            raise unreachable(self._client.connection, str(error)) from error
        if not answer.is_success:
            raise from_problem(answer.status_code, answer.content)
        content = answer.content
        if answer.status_code == httpx.codes.OK:  # all of it: some proxies take ranges away
            content = content[record.offset : last + 1]
        if hashlib.sha256(content).digest() != record.sha256:
            raise DataLoss(f"record {record.id} has another digest than was recorded")
        return content

    def close(self) -> None:
        """Closes the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _open(self) -> httpx.Client:
        if self._http is None or self._connection != self._client.connection:
            self.close()
            self._connection = self._client.connection
            self._http = http_client(self._connection, _READ_S)
        return self._http

    def _send(
        self, verb: str, url: str, headers: dict[str, str], content: Iterator[bytes]
    ) -> httpx.Response:
        import httpx

        try:
            answer = self._open().request(verb, url, headers=headers, content=content)
        except httpx.TransportError as error:
            raise unreachable(self._client.connection, str(error)) from error
        if not answer.is_success:
            raise from_problem(answer.status_code, answer.content)
        return answer


def media_type(path: str) -> str:
    """The media type that goes with a file's name."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def checked_path(path: str) -> str:
    """A path under a run, as the platform will check it.

    Raises:
        InvalidArgument: It is empty, too long, absolute, or has an empty, "." or ".." part.
    """
    if not 0 < len(path) <= 1000 or any(part in {"", ".", ".."} for part in path.split("/")):
        message = f"an artifact's name is a relative path without '.' or '..' parts, not {path!r}"
        raise InvalidArgument(message, violations=[Violation("path", "parts", message)])
    return path


def _url(run: str, path: str) -> str:
    return f"/v1/{run}/artifacts/{quote(path)}"


def _chunks(file: Path, progress: Progress) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk
            progress(len(chunk))
