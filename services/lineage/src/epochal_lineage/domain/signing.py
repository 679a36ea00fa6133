"""Signatures of a version's files in OpenSSF's model-signing format, made with a bare key.

A Sigstore bundle holds a DSSE envelope over an in-toto statement whose predicate lists every file
with its sha256 (https://github.com/ossf/model-signing-spec, v1.0). A bundle by a bare key names the
key only by a hint, the sha256 of its public half as PEM: who may sign is for the policy to say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


class SignatureRefused(ValueError):
    """A signature or a key that cannot be used; says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Dsse(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: Annotated[str, Field(alias="payloadType")]
    signatures: Annotated[list[_Dsse], Field(min_length=1, max_length=1)]


class _PublicKey(_Part):
    hint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Material(_Part):
    public_key: Annotated[_PublicKey, Field(alias="publicKey")]


class _Bundle(_Part):
    media_type: Annotated[
        str, Field(alias="mediaType", pattern=r"^application/vnd\.dev\.sigstore\.bundle")
    ]
    material: Annotated[_Material, Field(alias="verificationMaterial")]
    envelope: Annotated[_Envelope, Field(alias="dsseEnvelope")]


class _Resource(_Part):
    name: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    algorithm: Literal["sha256"]


class _Serialization(_Part):
    method: Literal["files"]


class _Predicate(_Part):
    serialization: _Serialization
    resources: list[_Resource]


class _Subject(_Part):
    name: str
    digest: dict[str, str]


class _Statement(_Part):
    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    predicate_type: Annotated[
        Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")
    ]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate: _Predicate


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """What a bundle says, once read; `verify` says whether it is so.

    Attributes:
        key: hint of the key: sha256 of its public half as PEM, hex.
        files: sha256 of each file, by path.
    """

    key: str
    files: Mapping[str, bytes]
    payload: bytes
    signature: bytes


def read_bundle(text: str) -> SignedFiles:
    """Read a bundle.

    Raises:
        SignatureRefused: it is none by a bare key, or its parts do not agree.
    """
    try:
        bundle = _Bundle.model_validate_json(text)
        payload = base64.b64decode(bundle.envelope.payload, validate=True)
        signature = base64.b64decode(bundle.envelope.signatures[0].sig, validate=True)
        statement = _Statement.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SignatureRefused(
            f"it is no model-signing bundle by a bare key: {where or 'text'}: {first['msg']}"
        ) from None
    except binascii.Error:
        raise SignatureRefused("its payload or signature is not base64") from None
    if bundle.envelope.payload_type != PAYLOAD_TYPE:
        raise SignatureRefused(f"its payload is {bundle.envelope.payload_type}, not {PAYLOAD_TYPE}")
    resources = statement.predicate.resources
    root = hashlib.sha256(b"".join(bytes.fromhex(one.digest) for one in resources)).hexdigest()
    if statement.subject[0].digest.get("sha256") != root:
        raise SignatureRefused("its digest is not that of its files")
    files = {one.name: bytes.fromhex(one.digest) for one in resources}
    if len(files) != len(resources):
        raise SignatureRefused("it names a file twice")
    return SignedFiles(bundle.material.public_key.hint, files, payload, signature)


def verify(signed: SignedFiles, pem: str) -> bool:
    """Whether a bundle was signed with the other half of a public key."""
    key = _public_key(pem)
    if signed.key != _fingerprint(key):
        return False
    try:
        key.verify(signed.signature, _pae(signed.payload), ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def fingerprint_of_pem(pem: str) -> str:
    """Return the hint that bundles name a key by.

    Raises:
        SignatureRefused: it is no public key on one of the curves of the format.
    """
    return _fingerprint(_public_key(pem))


def differing_files(signed: Mapping[str, bytes], registered: Mapping[str, bytes]) -> str:
    """Say how signed files differ from those of a version; empty when they do not."""
    for path in sorted(registered.keys() | signed.keys()):
        if path not in signed:
            return f"{path} is of the version and not signed"
        if path not in registered:
            return f"{path} is signed and not of the version"
        if signed[path] != registered[path]:
            return f"{path} was signed with other bytes"
    return ""


def _public_key(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        key: Any = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise SignatureRefused("it is no public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise SignatureRefused("a key is ECDSA on P-256, P-384 or P-521")
    return key


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def _pae(payload: bytes) -> bytes:
    # DSSE's pre-authentication encoding: what is signed is the type too.
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
