"""From the platform's URL to its gRPC address: one GET of `/.well-known/epochal`."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from epochal.config import Connection
from epochal.errors import InvalidArgument, PlatformUnreachable
from epochal.statuses import from_problem

if TYPE_CHECKING:
    import httpx

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_UNSPECIFIED: Final = frozenset({"", "0.0.0.0", "[::]", "::"})  # what a server binds, not a host
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gRPC door is: "host:port", whether it speaks TLS, whether it is this machine."""

    target: str
    secure: bool
    loopback: bool


def http_client(connection: Connection, timeout_s: float = 10.0) -> httpx.Client:
    """A client for the HTTP door with the caller's token; loopback never goes through a proxy."""
    import httpx  # loaded late: `import epochal` must not wait for it

    headers = {"authorization": f"Bearer {connection.token}"} if connection.token else {}
    return httpx.Client(
        base_url=connection.url,
        headers=headers,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0)),
        trust_env=urlsplit(connection.url).hostname not in _LOOPBACK,
    )


def locate(connection: Connection, timeout_s: float = 5.0) -> Address:
    """Asks the platform where its gRPC door is.

    Raises:
        InvalidArgument: The URL is no http(s) URL, or what answers there is not Epochal.
        PlatformUnreachable: Nothing answers.
    """
    parts = urlsplit(connection.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidArgument(
            f"{connection.url!r} is not a platform's URL: give one like http://127.0.0.1:8080"
        )
    loopback = parts.hostname in _LOOPBACK
    body = _fetch(connection, loopback, timeout_s)
    try:
        target = str(json.loads(body)["grpc"])
    except (ValueError, KeyError, TypeError) as error:
        raise _stranger(connection) from error
    host, _, port = target.rpartition(":")
    return Address(
        target=f"{parts.hostname}:{port}" if host in _UNSPECIFIED else target,
        secure=parts.scheme == "https",
        loopback=loopback,
    )


def _fetch(connection: Connection, loopback: bool, timeout_s: float) -> bytes:
    """One GET with the standard library: httpx costs every command 0.15 s to load."""
    proxies = [urllib.request.ProxyHandler({})] if loopback else []
    opener = urllib.request.build_opener(*proxies)
    try:
        with opener.open(f"{connection.url}/.well-known/epochal", timeout=timeout_s) as answer:
            body: bytes = answer.read(_MOST_BYTES)
            return body
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise from_problem(error.code, error.read(_MOST_BYTES)) from None
        raise _stranger(connection) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise unreachable(connection, str(reason)) from error


def _stranger(connection: Connection) -> InvalidArgument:
    return InvalidArgument(f"what answers at {connection.url} is not Epochal")


def unreachable(connection: Connection, why: str) -> PlatformUnreachable:
    """The error for a platform that does not answer, saying where we looked and what to do."""
    return PlatformUnreachable(
        f"nothing answers at {connection.url} (from {connection.source}; {why}): "
        "start the platform with `epochal up` or set EPOCHAL_URL",
        reason="PLATFORM_UNREACHABLE",
    )
