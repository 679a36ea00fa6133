"""The keys that sign checkpoints: one signs, the earlier stay known.

A key from the settings is never stored. One made here is stored encrypted (Fernet) under the
platform's secret, so that a copy of the database alone signs nothing.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from epochal_kernel.errors import DataLoss, FailedPrecondition, InvalidArgument

from epochal_lineage.domain.tlog.notes import BadNote, Signer, VerifierKey
from epochal_lineage.store.sealing import SealStore


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs now, and who signed before if its key is still at hand, for the handover."""

    current: Signer
    previous: Signer | None


class Keyring:
    """Makes, keeps and rotates signing keys."""

    def __init__(self, store: SealStore, secret: str, configured: str, origin: str) -> None:
        """Prepare; nothing is read before `open`.

        Args:
            store: where keys are kept.
            secret: seals keys made here; may be empty when `configured` is not.
            configured: base64 of the seed of the key that signs, or empty.
            origin: name proposed for the log, or empty.

        Raises:
            InvalidArgument: `configured` is no seed.
        """
        self._store = store
        self._fernet = _fernet(secret) if secret else None
        self._configured = _seed(configured) if configured else None
        self._proposed = origin or f"epochal.local/{os.urandom(8).hex()}"

    async def open(self) -> Signers:
        """Return the signers, and make the first key when there is none.

        Raises:
            FailedPrecondition: there is neither a key nor a secret to seal one with.
            DataLoss: the key was sealed under another secret.
        """
        origin = await self._store.origin(self._proposed)
        if self._configured is not None:
            signer = Signer(origin, self._configured)
            await self._store.add_key(str(signer.verifier), None)
        elif all(key.retired_at for key in await self._store.keys()):
            signer = Signer(origin, os.urandom(32))
            await self._store.add_first_key(str(signer.verifier), self._seal(signer.seed))
        return await self._signers(origin)

    async def rotate(self) -> VerifierKey:
        """Make a new key that signs from the next checkpoint on.

        Raises:
            FailedPrecondition: the key comes from the settings: it is changed there.
        """
        if self._configured is not None:
            raise FailedPrecondition(
                "the signing key comes from EPOCHAL_AUDIT_SIGNING_KEY: set another one there and "
                "restart the lineage service",
                reason="KEY_IS_CONFIGURED",
            )
        origin = await self._store.origin(self._proposed)
        signer = Signer(origin, os.urandom(32))
        await self._store.add_key(str(signer.verifier), self._seal(signer.seed))
        return signer.verifier

    async def _signers(self, origin: str) -> Signers:
        keys = await self._store.keys()
        current = [key for key in keys if key.retired_at is None][-1]
        before = [key for key in keys if key.retired_at is not None and key.sealed is not None]
        before.sort(key=lambda key: str(key.retired_at))
        if current.sealed is not None:
            signer = Signer(origin, self._open(current.sealed))
        elif self._configured is not None:
            signer = Signer(origin, self._configured)
        else:
            raise FailedPrecondition(
                "the last signing key came from EPOCHAL_AUDIT_SIGNING_KEY, which is not set now",
                reason="SIGNING_KEY_MISSING",
            )
        previous = None
        if before and before[-1].sealed is not None and self._fernet is not None:
            previous = Signer(origin, self._open(before[-1].sealed))
        return Signers(signer, previous)

    def _seal(self, seed: bytes) -> bytes:
        if self._fernet is None:
            raise FailedPrecondition(
                "no checkpoint can be signed: set EPOCHAL_SECRET_KEY or EPOCHAL_AUDIT_SIGNING_KEY",
                reason="SIGNING_KEY_MISSING",
            )
        return self._fernet.encrypt(seed)

    def _open(self, sealed: bytes) -> bytes:
        if self._fernet is None:
            raise FailedPrecondition(
                "the signing key is sealed: set EPOCHAL_SECRET_KEY", reason="SIGNING_KEY_MISSING"
            )
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise DataLoss(
                "the signing key was sealed with another EPOCHAL_SECRET_KEY: set the old one again"
            ) from error


def witnesses(text: str) -> tuple[VerifierKey, ...]:
    """Read the verifier keys of witnesses.

    Raises:
        InvalidArgument: one is none.
    """
    try:
        return tuple(VerifierKey.parse(one) for one in text.split())
    except BadNote as error:
        raise InvalidArgument(f"EPOCHAL_AUDIT_WITNESSES: {error}") from error


def forked_origin(origin: str, fork_id: UUID) -> str:
    """Return the name that the log of a fork signs under: never the one of its source.

    Two trees under one name would be what witnesses call a split view.
    """
    return f"{origin or 'epochal.local'}/fork/{fork_id.hex[:16]}"


def _fernet(secret: str) -> Fernet:
    key = HKDF(hashes.SHA256(), 32, salt=None, info=b"epochal audit signing key").derive(
        secret.encode()
    )
    return Fernet(base64.urlsafe_b64encode(key))


def _seed(text: str) -> bytes:
    try:
        seed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        seed = b""
    if len(seed) != 32:
        raise InvalidArgument("EPOCHAL_AUDIT_SIGNING_KEY is not the base64 of 32 bytes")
    return seed
