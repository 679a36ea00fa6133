"""Names of people, kept apart from the archived log so that they can be erased from there, too.

`names.jsonl`: a line with the name of the log, then a line a person: pseudonym, name and key in
hexadecimal (both null once erased), and when each was made and erased, ISO 8601. A pseudonym is the
HMAC of the name under the key, so that a name which is not the one that was recorded is found.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from epochal_kernel.errors import DataLoss

NAMES: Final = "names.jsonl"
_MADE_OF: Final = "users/anon-"


@dataclass(frozen=True, slots=True)
class PersonName:
    """Whom a pseudonym stands for; nobody any more when it was erased."""

    pseudonym: str
    name: str | None
    key: bytes | None
    created_at: datetime
    erased_at: datetime | None


def written(origin: str, people: Iterable[PersonName]) -> bytes:
    """Return the file of the log that is called `origin`."""
    head = json.dumps({"origin": origin}).encode() + b"\n"
    return head + b"".join(
        json.dumps(
            {
                "pseudonym": one.pseudonym,
                "name": one.name,
                "key": one.key.hex() if one.key is not None else None,
                "created_at": one.created_at.isoformat(),
                "erased_at": one.erased_at.isoformat() if one.erased_at else None,
            },
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for one in people
    )


def origin_of(data: bytes) -> str:
    """Return the name of the log that a file is of.

    Raises:
        DataLoss: it does not say.
    """
    try:
        return str(json.loads(data.partition(b"\n")[0])["origin"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss(f"{NAMES} does not say which log it is of: {error}") from error


def read(data: bytes) -> list[PersonName]:
    """Return whom the file names.

    Raises:
        DataLoss: a line does not read, or a name is not the one its pseudonym was made of.
    """
    found: list[PersonName] = []
    for number, line in enumerate(data.splitlines()[1:], start=2):
        try:
            row = json.loads(line)
            one = PersonName(
                pseudonym=str(row["pseudonym"]),
                name=row["name"],
                key=bytes.fromhex(row["key"]) if row["key"] is not None else None,
                created_at=datetime.fromisoformat(row["created_at"]),
                erased_at=datetime.fromisoformat(row["erased_at"]) if row["erased_at"] else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataLoss(f"line {number} of {NAMES} does not read: {error}") from error
        if one.name is not None and one.pseudonym != _pseudonym(one.key or b"", one.name):
            raise DataLoss(f"line {number} of {NAMES}: the name is not that of {one.pseudonym}")
        found.append(one)
    return found


def _pseudonym(key: bytes, name: str) -> str:
    digest = hmac.digest(key, name.encode(), hashlib.sha256)
    return _MADE_OF + base64.b32encode(digest).decode().lower()[:26]
