"""People's own words in events: sealed under the key of who said them, unreadable without it.

`sealed:anon-...:BASE64`, AES-256-GCM with a nonce of its own; the pseudonym is bound to it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: What every sealed text begins with.
SEALED: Final = "sealed:anon-"

#: What stands for a text whose writer was erased.
ERASED: Final = "(erased)"

_SEALED: Final = re.compile(r"sealed:(anon-[a-z2-7]{26}):([A-Za-z0-9+/=]+)")
_NONCE: Final = 12


def seal(text: str, pseudonym: str, key: bytes) -> str:
    """Seal what somebody wrote.

    Args:
        text: their words.
        pseudonym: "users/anon-...".
        key: the 32 bytes that are theirs.
    """
    nonce = secrets.token_bytes(_NONCE)
    sealed = AESGCM(_derived(key)).encrypt(nonce, text.encode(), pseudonym.encode())
    written = base64.b64encode(nonce + sealed).decode()
    return f"sealed:{pseudonym.removeprefix('users/')}:{written}"


def writer_of(text: str) -> str | None:
    """Return the pseudonym of who wrote a sealed text; None for one that is not sealed."""
    found = _SEALED.fullmatch(text)
    return f"users/{found[1]}" if found else None


def opened(text: str, key: bytes | None) -> str:
    """Return what a sealed text says; `ERASED` without its key, itself when it is none of ours."""
    found = _SEALED.fullmatch(text)
    if found is None:
        return text
    if key is None:
        return ERASED
    try:
        data = base64.b64decode(found[2], validate=True)
        words = AESGCM(_derived(key)).decrypt(
            data[:_NONCE], data[_NONCE:], f"users/{found[1]}".encode()
        )
    except (binascii.Error, InvalidTag, ValueError):
        return text  # somebody wrote these very letters
    return words.decode()


def _derived(key: bytes) -> bytes:
    """A key of its own for texts: that of the pseudonym is shown to prove a name."""
    return hmac.digest(key, b"epochal texts", hashlib.sha256)
