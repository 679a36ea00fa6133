"""Page tokens: the key of the last item, opaque to clients."""

from __future__ import annotations

import base64
import binascii

from epochal_kernel.errors import InvalidArgument, Violation

DEFAULT_PAGE = 50


def pack(text: str) -> str:
    """Return text as a token."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(token: str) -> str:
    """Return the text of a token.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        raise foreign() from None


def unpack_number(token: str) -> int | None:
    """Return the number of a token, None for the first page.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    text = unpack(token)
    if not text:
        return None
    if not text.isdigit() or len(text) > 18:
        raise foreign()
    return int(text)


def foreign() -> InvalidArgument:
    """Return the error for a token that is not one of ours."""
    return InvalidArgument(
        "page_token is not from an answer of this call",
        violations=[Violation("page_token", "page_token", "use next_page_token as it came")],
    )
