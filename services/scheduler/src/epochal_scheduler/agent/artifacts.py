"""Artifacts of runs over the gateway's HTTP door, with the token of the run that asks.

The gateway decides what a run may read; the agent has no right of its own here.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote

from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    DataLoss,
    EpochalError,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)

from epochal_scheduler.agent.ports import ModelFiles, Stored

if TYPE_CHECKING:
    import httpx

CHUNK_BYTES = 1024 * 1024
TIMEOUT_S = 60.0
PATIENCE_S = 120.0
PAGE = 1000

ResultT = TypeVar("ResultT")


class Artifacts:
    """The artifact store of the platform, as one agent reaches it; implements `ArtifactPort`."""

    def __init__(
        self, url: str, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def list(self, token: str, run: str, prefix: str) -> list[Stored]:
        """See `ArtifactPort.list`."""
        found: list[Stored] = []
        page = ""
        while True:
            query = {"path_prefix": prefix, "page_size": str(PAGE), "page_token": page}
            answer = await self._json(token, f"/v1/{run}/artifacts", query)
            found += [
                Stored(one["path"], one["digest"], int(one.get("sizeBytes", 0)))
                for one in answer.get("artifacts", ())
            ]
            page = answer.get("nextPageToken", "")
            if not page:
                return found

    async def get(self, token: str, run: str, path: str, target: Path) -> str:
        """See `ArtifactPort.get`."""
        url = f"/v1/{run}/artifacts/{quote(path)}"

        async def once() -> str:
            digest = hashlib.sha256()
            partial = target.with_name(f".{target.name[:200]}.part")
            try:
                async with self._http().stream("GET", url, headers=_headers(token)) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    _check(answer)
                    with partial.open("wb") as file:
                        async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                            digest.update(chunk)
                            file.write(chunk)
                    told = answer.headers.get("etag", "").strip('"')
                found = f"sha256:{digest.hexdigest()}"
                if told and told != found:
                    raise DataLoss(f"{path} came with another digest than was recorded")
                partial.replace(target)
                return found
            finally:
                partial.unlink(missing_ok=True)

        target.parent.mkdir(parents=True, exist_ok=True)
        return await self._patiently(once)

    async def put(self, token: str, run: str, path: str, file: Path, kind: str) -> None:
        """See `ArtifactPort.put`."""
        sha256, size_bytes = await asyncio.to_thread(_measured, file)
        headers = {
            **_headers(token),
            "content-type": mimetypes.guess_type(path)[0] or "application/octet-stream",
            "content-length": str(size_bytes),
            "epochal-artifact-kind": kind,
            "epochal-content-sha256": sha256.hex(),
        }

        async def once() -> None:
            url = f"/v1/{run}/artifacts/{quote(path)}"
            _check(await self._http().put(url, headers=headers, content=_chunks(file)))

        await self._patiently(once)

    async def model_version(self, token: str, model: str, wanted: str) -> ModelFiles:
        """See `ArtifactPort.model_version`."""
        if not wanted.isdecimal():
            known = await self._json(token, f"/v1/{model}", {})
            aliases: dict[str, int] = known.get("aliases", {})
            aliases.setdefault("latest", known.get("latestVersion", 0))
            wanted = str(aliases.get(wanted) or _no_alias(model, wanted, aliases))
        version = await self._json(token, f"/v1/{model}/versions/{wanted}", {})
        return ModelFiles(f"{model}/versions/{wanted}", version["run"], version["artifactPath"])

    async def use_model(self, token: str, run: str, version: str) -> None:
        """See `ArtifactPort.use_model`."""

        async def once() -> None:
            url, body = f"/v1/{run}:useModel", {"modelVersion": version}
            _check(await self._http().post(url, json=body, headers=_headers(token)))

        await self._patiently(once)

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _json(self, token: str, path: str, query: dict[str, str]) -> dict[str, Any]:
        async def once() -> dict[str, Any]:
            answer = await self._http().get(path, params=query, headers=_headers(token))
            _check(answer)
            found: dict[str, Any] = answer.json()
            return found

        return await self._patiently(once)

    async def _patiently(self, once: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Tries until it is answered, for a while; each try has a deadline of its own."""
        import httpx

        deadline, pause_s = self._clock.monotonic() + PATIENCE_S, 0.1
        while True:
            try:
                return await once()
            except httpx.TransportError as error:
                problem: EpochalError = Unavailable(f"the gateway does not answer: {error!r}")
            except EpochalError as error:
                problem = error
            if not problem.retryable or self._clock.monotonic() + pause_s > deadline:
                raise problem
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _http(self) -> httpx.AsyncClient:
        # Loaded by the first run that needs it: an agent whose runs need no files stays small.
        import httpx

        if not self._url:
            raise FailedPrecondition("this agent knows no gateway: set EPOCHAL_URL")
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._url, timeout=TIMEOUT_S, transport=self._transport
            )
        return self._client


def sha256_of(file: Path) -> bytes:
    """Returns the sha256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _measured(file: Path) -> tuple[bytes, int]:
    return sha256_of(file), file.stat().st_size


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk


def _headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _no_alias(model: str, wanted: str, aliases: Mapping[str, object]) -> NoReturn:
    known = ", ".join(sorted(aliases)) or "none"
    raise NotFound(f"{model} has no alias {wanted!r}; it has {known}", resource=model)


def _check(answer: httpx.Response) -> None:
    """Raises what a refusal means; what may pass with time is Unavailable."""
    if answer.is_success:
        return
    try:
        detail = str(answer.json().get("detail", ""))
    except ValueError:
        detail = answer.text[:300]
    match answer.status_code:
        case 404:
            raise NotFound(detail or "there is no such artifact")
        case 401 | 403:
            raise PermissionDenied(detail or "the run may not read it")
        case 429 | 500 | 502 | 503 | 504:
            raise Unavailable(detail or f"the gateway answered {answer.status_code}")
        case other:
            raise FailedPrecondition(detail or f"the gateway answered {other}")
