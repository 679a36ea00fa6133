"""Page tokens (AIP-158): the key of the last item, opaque to clients, refused when not ours."""

from __future__ import annotations

import base64
import binascii

from epochal_kernel.errors import InvalidArgument, Violation

DEFAULT_PAGE = 50


def pack(key: str) -> str:
    """Return the token that goes on after a key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def unpack(token: str) -> str:
    """Return the key that a token goes on after, "" for the first page.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    try:
        key = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        raise foreign() from None
    if pack(key) != token:  # the decoder skips characters that are not of its alphabet
        raise foreign()
    return key


def unpack_number(token: str) -> int | None:
    """Return the number that a token goes on after, None for the first page.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    text = unpack(token)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise foreign()
    return int(text)


def foreign() -> InvalidArgument:
    """Return the error for a token that is not one of ours."""
    return InvalidArgument(
        "page_token is not from an answer of this call",
        violations=[Violation("page_token", "page_token", "use next_page_token as it came")],
    )
