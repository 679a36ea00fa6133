"""Signed notes and checkpoints, exactly as C2SP signed-note, tlog-checkpoint, tlog-cosignature say.

<origin>                                    — <key name> <base64(key id || signature)>
<number of leaves>
<root hash in base64>
(an empty line, then the signature lines)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

_DASH: Final = "\u2014 "
_ID_BYTES: Final = 4


class BadNote(ValueError):
    """A note, a key or a signature is not of the format."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        content = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(content).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """The key as text: name+id+base64."""
        data = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{data}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a key.

        Raises:
            BadNote: it is none, or its id is another's.
        """
        name, _, rest = text.strip().partition("+")
        hex_id, _, data = rest.partition("+")
        raw = _base64(data)
        if not _is_name(name) or len(raw) != 33 or raw[0] not in (ED25519, COSIGNATURE):
            raise BadNote(f"{text!r} is no Ed25519 verifier key such as NAME+ID+BASE64")
        key = cls(name, raw[0], raw[1:])
        if key.key_id.hex() != hex_id:
            raise BadNote(f"the id in {text!r} is not that of the key")
        return key

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether a signature, its key id left out, is this key's over the text of a note."""
        signed = text.encode()
        if self.algorithm == COSIGNATURE:
            if len(signature) != 72:
                return False
            time_s = int.from_bytes(signature[:8], "big")
            signed = f"cosignature/v1\ntime {time_s}\n".encode() + signed
            signature = signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key that signs notes under a name."""

    name: str
    seed: bytes

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerifierKey(self.name, ED25519, public.public_bytes_raw())

    def sign(self, text: str) -> str:
        """Return the signature line of a text, with its line end."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return signature_line(self.name, self.verifier.key_id, signature)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a tree."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note.

        Raises:
            BadNote: it is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not lines[1].isdecimal():
            raise BadNote("a checkpoint has three lines: origin, size, root")
        root = _base64(lines[2])
        if len(root) != 32 or str(int(lines[1])) != lines[1]:
            raise BadNote("the size or the root of the checkpoint is not of the format")
        return cls(lines[0], int(lines[1]), root)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Read a line, with or without its line end.

        Raises:
            BadNote: it is none.
        """
        name, _, data = line.rstrip("\n").removeprefix(_DASH).partition(" ")
        raw = _base64(data)
        if not line.startswith(_DASH) or not _is_name(name) or len(raw) <= _ID_BYTES:
            raise BadNote(f"{line!r} is no signature line")
        return cls(name, raw[:_ID_BYTES], raw[_ID_BYTES:])

    def is_by(self, key: VerifierKey) -> bool:
        """Whether it claims to be by a key."""
        return (self.name, self.key_id) == (key.name, key.key_id)


def signed_note(text: str, lines: Iterable[str]) -> str:
    """Return a whole note: text, empty line, signature lines."""
    return text + "\n" + "".join(lines)


def split_note(note: str) -> tuple[str, list[Signature]]:
    """Return the text and the signatures of a note.

    Raises:
        BadNote: it is none.
    """
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures.splitlines()
    if not separator or not lines or not note.endswith("\n"):
        raise BadNote("a note is a text, an empty line and signature lines")
    return text + "\n", [Signature.parse(line) for line in lines]


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Return a signature line, with its line end."""
    return f"{_DASH}{name} {base64.b64encode(key_id + signature).decode()}\n"


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote(f"{text!r} is no base64") from None
