"""Guards the inner network: addresses that outsiders must not reach through the platform."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit


class HostRefused(Exception):
    """A URL leads somewhere that deliveries do not go; the message says why."""


async def check_host(url: str, *, private_allowed: bool) -> None:
    """Check where a URL leads.

    The name is resolved again when the delivery connects, so this guards against mistakes and
    plain abuse, not against a name that changes between the two look-ups: run the notifier behind
    an egress policy where that matters.

    Raises:
        HostRefused: no http(s) URL, a name that does not resolve, or a private address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError as error:
        raise HostRefused(f"{url!r} is no http or https URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HostRefused(f"{url!r} is no http or https URL")
    if private_allowed:
        return
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostRefused(f"{parts.hostname} does not resolve: {error}") from error
    for *_, address in found:
        if not ipaddress.ip_address(address[0]).is_global:
            raise HostRefused(
                f"{parts.hostname} is at {address[0]}, a private address; set "
                "EPOCHAL_NOTIFY_PRIVATE_HOSTS=true to allow that"
            )
