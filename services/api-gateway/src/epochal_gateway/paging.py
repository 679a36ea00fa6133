"""Page tokens: the key of the last item, opaque to clients, refused when it is not ours."""

from __future__ import annotations

import base64
import binascii

from epochal_kernel.errors import InvalidArgument, Violation

DEFAULT_PAGE = 50


def page_size(asked: int) -> int:
    """Return how many items a page holds."""
    return asked or DEFAULT_PAGE


def encode(key: str) -> str:
    """Return the token that continues after a key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode(token: str) -> str:
    """Return the key a token continues after, "" for the first page.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        raise InvalidArgument(
            "page_token is not from an answer of this call",
            violations=[Violation("page_token", "page_token", "use next_page_token as it came")],
        ) from None
