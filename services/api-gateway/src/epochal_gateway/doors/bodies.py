"""Bodies of requests that come compressed. Pure."""

from __future__ import annotations

import zlib
from typing import Final

from epochal_kernel.errors import InvalidArgument, ResourceExhausted

#: Of a body, once it is unpacked: what is small may hide what is not.
MOST_PLAIN_BYTES: Final = 64 * 1024 * 1024


def unpacked(body: bytes, encoding: str, most_bytes: int = MOST_PLAIN_BYTES) -> bytes:
    """Return a body without its compression.

    Raises:
        InvalidArgument: it is not compressed so, or so is not known.
        ResourceExhausted: there would be too much of it.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidArgument(f"Unsupported Content-Encoding: {encoding}")
    # Deflate comes with the head of zlib's, as it should, or bare, as some clients have it.
    forms = (31,) if encoding == "gzip" else (zlib.MAX_WBITS, -zlib.MAX_WBITS)
    for form in forms:
        unpacking = zlib.decompressobj(form)
        try:
            plain = unpacking.decompress(body, most_bytes)
        except zlib.error:
            continue
        if unpacking.unconsumed_tail:
            raise ResourceExhausted(
                f"the body is larger than {most_bytes} bytes once it is unpacked",
                reason="BODY_TOO_LARGE",
            )
        if unpacking.eof:
            return plain
    raise InvalidArgument(f"Failed to decompress {encoding} payload")
