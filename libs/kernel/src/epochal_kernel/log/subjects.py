"""Who the pseudonyms in the log are: people's names, kept beside the leaves so they can be erased.

A pseudonym is a commitment: the HMAC of the name under a random key of that person's own. Who has
the key can show what name it stands for; without it, nobody can try names against it. Both lie in
`log.subject`, the one table of the log that may change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import asyncpg

from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.log.personal import ANONYMOUS, is_person, is_pseudonym
from epochal_kernel.postgres import Connection, Pool, adapting

#: Seconds for which a name is believed without asking whether it was erased meanwhile.
BELIEVED_S: Final = 5.0

_BY_NAME: Final = "SELECT pseudonym, name, key FROM log.subject WHERE name = ANY($1::text[])"
_BY_PSEUDONYM: Final = (
    "SELECT pseudonym, name, key FROM log.subject WHERE pseudonym = ANY($1::text[])"
)
_INSERT: Final = (
    "INSERT INTO log.subject (pseudonym, name, key) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING"
)
_ERASED: Final = (
    "SELECT s.pseudonym, s.erased_at, array_agg(f.service) FILTER (WHERE f.service IS NOT NULL) "
    "FROM log.subject s LEFT JOIN log.forgotten f ON f.pseudonym = s.pseudonym "
    "WHERE s.erased_at IS NOT NULL "
)
_ONE_ERASED: Final = _ERASED + "AND s.pseudonym = $1 GROUP BY s.pseudonym"
_ALL_ERASED: Final = (
    _ERASED + "AND ($1 = '' OR (s.erased_at, s.pseudonym) < (SELECT b.erased_at, b.pseudonym "
    "FROM log.subject b WHERE b.pseudonym = $1)) "
    "GROUP BY s.pseudonym ORDER BY s.erased_at DESC, s.pseudonym DESC LIMIT $2"
)
_ERASE: Final = (
    "UPDATE log.subject SET name = NULL, key = NULL, erased_at = clock_timestamp() "
    "WHERE pseudonym = $1 AND erased_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class ErasedSubject:
    """Somebody who was erased, and the services that have forgotten the name."""

    pseudonym: str
    erased_at: datetime
    forgotten_by: frozenset[str]


class Names(Protocol):
    """Knows the names behind pseudonyms."""

    def known(self, pseudonym: str) -> str | None:
        """Return a name without asking the database, or None when it must be asked."""
        ...

    async def names(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the name of each; of one who was erased the pseudonym itself."""
        ...

    async def key(self, pseudonym: str) -> bytes | None:
        """Return somebody's key, None when they were erased."""
        ...


class Subjects:
    """The people that the log names, for one process; implements `Names`.

    What it remembers it forgets every few seconds, and asks again: so long after an erasure, and
    no longer, any process may still use the name.
    """

    def __init__(self, pool: Pool | Connection, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._names: dict[str, str] = {}
        self._keys: dict[str, bytes | None] = {}
        self._pseudonyms: dict[str, str] = {}
        self._believed_until = float("-inf")

    def known(self, pseudonym: str) -> str | None:
        """Return a name without asking the database, or None when it must be asked."""
        self._forget_in_time()
        return self._names.get(pseudonym)

    async def names(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the name of each; of one who was erased the pseudonym itself.

        So too of one who is not known here: a log may be copied or restored without names.
        """
        self._forget_in_time()
        found = {one: self._names[one] for one in pseudonyms if one in self._names}
        missing = [one for one in pseudonyms if one not in found]
        if missing:
            with adapting():
                rows = await self._pool.fetch(_BY_PSEUDONYM, missing)
            for pseudonym, name, key in rows:
                self._learn(pseudonym, name, key)
                found[pseudonym] = name or pseudonym
            for pseudonym in missing:
                if pseudonym not in found:
                    self._learn(pseudonym, None, None)
                    found[pseudonym] = pseudonym
        return found

    async def key(self, pseudonym: str) -> bytes | None:
        """Return somebody's key, None when they were erased or are not known here."""
        self._forget_in_time()
        if pseudonym not in self._keys:
            await self.names([pseudonym])
        return self._keys.get(pseudonym)

    async def pseudonyms(self, users: Iterable[str]) -> Mapping[str, str]:
        """Return what to store in place of each person's name; who is new gets a pseudonym."""
        people = {user for user in users if is_person(user)}
        found = await self._known_pseudonyms(people)
        while missing := sorted(people - found.keys()):
            keys = [secrets.token_bytes(32) for _ in missing]
            made = [_commitment(key, user) for key, user in zip(keys, missing, strict=True)]
            with adapting():
                # Several processes may introduce one person: the first row counts.
                await self._pool.execute(_INSERT, made, missing, keys)
            found |= await self._known_pseudonyms(missing)
        return found

    async def refuse_living(self, users: Iterable[str]) -> None:
        """Refuse pseudonyms of people who have a name.

        Else the same person could be named in two ways, and what is known of the one, such as a
        role, would not be asked of the other. Who was erased has no other name than this.

        Raises:
            InvalidArgument: one of the names is such a pseudonym.
        """
        pseudonyms = [user for user in users if is_pseudonym(user)]
        self.forget()  # whom it knows may have been erased a moment ago
        for pseudonym, name in (await self.names(pseudonyms)).items():
            if name != pseudonym:
                raise InvalidArgument(
                    f"{pseudonym} is what events store for somebody who has a name",
                    reason="IS_A_PSEUDONYM",
                    violations=[Violation("user", "pseudonym", "use the name of that person")],
                )

    async def stored_as(self, user: str) -> list[str]:
        """Return all that a person may be called in stored events, for queries over them.

        The name itself is among them: events of releases before pseudonyms have it.
        """
        return [user, *(await self._known_pseudonyms([user])).values()]

    async def erasure(self, pseudonym: str) -> ErasedSubject | None:
        """Return an erasure, None when there was none."""
        with adapting():
            row = await self._pool.fetchrow(_ONE_ERASED, pseudonym)
        return _erased(row) if row else None

    async def erased(self, before: str, limit: int) -> list[ErasedSubject]:
        """Return who was erased, newest first, those before a pseudonym unless it is empty."""
        with adapting():
            rows = await self._pool.fetch(_ALL_ERASED, before, limit)
        return [_erased(row) for row in rows]

    async def _known_pseudonyms(self, users: Collection[str]) -> dict[str, str]:
        self._forget_in_time()
        found = {user: self._pseudonyms[user] for user in users if user in self._pseudonyms}
        missing = [user for user in users if user not in found]
        if missing:
            with adapting():
                rows = await self._pool.fetch(_BY_NAME, missing)
            for pseudonym, name, key in rows:
                self._learn(pseudonym, name, key)
                found[name] = pseudonym
        return found

    def _learn(self, pseudonym: str, name: str | None, key: bytes | None) -> None:
        self._names[pseudonym] = name or pseudonym
        self._keys[pseudonym] = key
        if name is not None:
            self._pseudonyms[name] = pseudonym

    def forget(self) -> None:
        """Ask again for every name from now on."""
        self._believed_until = float("-inf")

    def _forget_in_time(self) -> None:
        now = self._clock.monotonic()
        if now >= self._believed_until:
            self._names.clear()
            self._keys.clear()
            self._pseudonyms.clear()
            self._believed_until = now + BELIEVED_S


async def erase(connection: Connection, pseudonym: str) -> None:
    """Take a person's name and key away for good; doing it twice is once."""
    with adapting():
        await connection.execute(_ERASE, pseudonym)


def _erased(row: asyncpg.Record) -> ErasedSubject:
    return ErasedSubject(row[0], row[1], frozenset(row[2] or ()))


def _commitment(key: bytes, user: str) -> str:
    """The pseudonym of a name: 130 bits of its HMAC-SHA256."""
    digest = hmac.digest(key, user.encode(), hashlib.sha256)
    return ANONYMOUS + base64.b32encode(digest).decode().lower()[:26]
