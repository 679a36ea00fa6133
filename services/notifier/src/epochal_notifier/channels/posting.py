"""One POST to an address that a user chose, and what its answer means.

The address and the answer are both hostile until proved otherwise: no redirect is followed (it
could lead into the inner network), the body of the answer is not read, and nothing that either
holds raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

from epochal_notifier.channels.hosts import HostRefused, check_host
from epochal_notifier.domain.delivery import Attempt

#: A receiver that sends its headers byte by byte is given up before the intent's lease ends.
DEADLINE_S: Final = 60.0


async def post(
    client: httpx.AsyncClient,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    private_allowed: bool,
) -> Attempt:
    """Make one attempt."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            await check_host(url, private_allowed=private_allowed)
            async with client.stream(
                "POST", url, content=content, headers=dict(headers), follow_redirects=False
            ) as response:
                return attempt_of(response.status_code, response.headers.get("retry-after", ""))
    except HostRefused as error:
        return Attempt(delivered=False, permanent=True, outcome=str(error))
    except (httpx.InvalidURL, UnicodeError) as error:
        return Attempt(False, True, f"{url!r} is no http or https URL: {error}"[:500])
    except (httpx.HTTPError, TimeoutError) as error:
        return Attempt(False, False, f"{type(error).__name__}: {error}"[:500])


def attempt_of(status: int, retry_after: str) -> Attempt:
    """Judge an HTTP status: 2xx delivered; 3xx and 4xx permanent but for 408, 425 and 429."""
    if 200 <= status < 300:
        return Attempt(True, False, f"HTTP {status}")
    permanent = 300 <= status < 500 and status not in (408, 425, 429)
    seconds = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10
    return Attempt(False, permanent, f"HTTP {status}", float(retry_after) if seconds else None)
