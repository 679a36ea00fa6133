"""Signatures of model files in OpenSSF's model-signing format, by a bare key.

What `sign_files` writes is what `model_signing verify key` reads, and the other way round: a
Sigstore bundle with a DSSE envelope over an in-toto statement that lists each file with its sha256
(https://github.com/ossf/model-signing-spec, v1.0). Keys are ECDSA on P-256, P-384 or P-521 in PEM:

    openssl ecparam -genkey -name prime256v1 -noout -out release.key
    openssl ec -in release.key -pubout -out release.pub
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epochal.errors import DataLoss, InvalidArgument

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"


class SignatureInvalid(DataLoss):
    """The files are not those that were signed, or nobody who is trusted signed them."""


def sign_files(
    files: Mapping[str, bytes], name: str, key: str | Path, password: bytes | None = None
) -> str:
    """Sign files, and return the bundle as JSON.

    Args:
        files: sha256 of each file, by its path below the model, with slashes.
        name: Of the model, for readers.
        key: Private key, a PEM file.
        password: Of the key, when it has one.

    Raises:
        InvalidArgument: The key cannot be read or is of another kind.
    """
    private = _private_key(Path(key), password)
    payload = json.dumps(_statement(files, name), ensure_ascii=False).encode()
    signature = private.sign(_pae(payload), _algorithm(private.public_key()))
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": _hint(private.public_key())},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle)


def signed_files(bundle: str, key: str | Path) -> dict[str, bytes]:
    """Check a bundle against a public key, and return the sha256 of each file it is of.

    Args:
        bundle: JSON, as `sign_files` or `model_signing sign key` makes it.
        key: Public key, a PEM file.

    Raises:
        SignatureInvalid: It is of another key, was changed, or is no such bundle.
        InvalidArgument: The key cannot be read or is of another kind.
    """
    public = _public_key(Path(key))
    from cryptography.exceptions import InvalidSignature

    try:
        content = json.loads(bundle)
        envelope = content["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        hint = content["verificationMaterial"]["publicKey"]["hint"]
        kind = envelope["payloadType"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise SignatureInvalid("the signature is no model-signing bundle by a bare key") from None
    if hint != _hint(public):
        raise SignatureInvalid(f"the signature is by another key, {str(hint)[:16]}")
    try:
        public.verify(signature, _pae(payload), _algorithm(public))
    except InvalidSignature:
        raise SignatureInvalid("the signature does not hold: its text was changed") from None
    if kind != PAYLOAD_TYPE:
        raise SignatureInvalid(f"what was signed is {kind}, no in-toto statement")
    return _files(payload)


def key_hint(key: str | Path) -> str:
    """Return how bundles name a public key: sha256 of it as PEM, hex.

    Raises:
        InvalidArgument: The key cannot be read or is of another kind.
    """
    return _hint(_public_key(Path(key)))


def _statement(files: Mapping[str, bytes], name: str) -> dict[str, object]:
    resources = [
        {"name": path, "digest": sha256.hex(), "algorithm": "sha256"}
        for path, sha256 in sorted(files.items())
    ]
    root = hashlib.sha256(b"".join(sha256 for _, sha256 in sorted(files.items())))
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root.hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": resources,
        },
    }


def _files(payload: bytes) -> dict[str, bytes]:
    try:
        statement = json.loads(payload)
        known = (statement["_type"], statement["predicateType"])
        resources = statement["predicate"]["resources"]
        found = {one["name"]: bytes.fromhex(one["digest"]) for one in resources}
        algorithms = {one["algorithm"] for one in resources}
        root = statement["subject"][0]["digest"]["sha256"]
        ordered = b"".join(bytes.fromhex(one["digest"]) for one in resources)
    except (ValueError, KeyError, IndexError, TypeError):
        raise SignatureInvalid("what was signed is no list of files") from None
    if known != (STATEMENT_TYPE, PREDICATE_TYPE) or algorithms - {"sha256"}:
        raise SignatureInvalid("what was signed is of a form that this version does not read")
    if len(found) != len(resources) or root != hashlib.sha256(ordered).hexdigest():
        raise SignatureInvalid("the signed list of files contradicts itself")
    return found


def _pae(payload: bytes) -> bytes:
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _private_key(path: Path, password: bytes | None) -> ec.EllipticCurvePrivateKey:
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidArgument(f"{path} cannot be read as a private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidArgument(f"{path} is no ECDSA key: make one with openssl ecparam")
    _algorithm(key.public_key())
    return key


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} cannot be read as a public key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidArgument(f"{path} is no ECDSA key: give the public half of the signer's")
    _algorithm(key)
    return key


def _algorithm(key: ec.EllipticCurvePublicKey) -> ec.ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    known: dict[str, hashes.HashAlgorithm] = {
        "secp256r1": hashes.SHA256(),
        "secp384r1": hashes.SHA384(),
        "secp521r1": hashes.SHA512(),
    }
    algorithm = known.get(key.curve.name)
    if algorithm is None:
        raise InvalidArgument(f"a key on {key.curve.name} cannot sign: use P-256, P-384 or P-521")
    return ec.ECDSA(algorithm)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives import serialization

    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def _require_cryptography() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise InvalidArgument(
            "signatures need the package cryptography: pip install 'epochal[audit]'"
        )
