"""Notes are those of C2SP: Go's own example, and every way to be wrong."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from epochal_lineage.domain.tlog.notes import (
    COSIGNATURE,
    BadNote,
    Checkpoint,
    Signature,
    Signer,
    VerifierKey,
    signature_line,
    signed_note,
    split_note,
)

# From the documentation of golang.org/x/mod/sumdb/note.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_note_signed_by_go_is_verified() -> None:
    key = VerifierKey.parse(NEUMANN)
    text, (signature,) = split_note(NOTE)
    assert signature.is_by(key)
    assert key.verifies(text, signature.signature)
    assert not key.verifies(text + "x", signature.signature)
    assert str(key) == NEUMANN


def test_checkpoint_comes_back_from_its_note() -> None:
    signer = Signer("log.example.com/one", bytes(range(32)))
    checkpoint = Checkpoint(signer.name, 42, b"\x07" * 32)
    note = signed_note(checkpoint.text(), [signer.sign(checkpoint.text())])
    text, (signature,) = split_note(note)
    assert Checkpoint.parse(text) == checkpoint
    root = base64.b64encode(checkpoint.root).decode()
    assert note.startswith(f"log.example.com/one\n42\n{root}\n\n")
    assert signature.is_by(signer.verifier)
    assert signer.verifier.verifies(text, signature.signature)
    assert VerifierKey.parse(str(signer.verifier)) == signer.verifier


def test_cosignature_covers_its_time() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
    key = VerifierKey("witness.example", COSIGNATURE, private.public_key().public_bytes_raw())
    text, time_s = Checkpoint("log", 1, bytes(32)).text(), 1_700_000_000
    raw = private.sign(f"cosignature/v1\ntime {time_s}\n{text}".encode())
    line = signature_line(key.name, key.key_id, time_s.to_bytes(8, "big") + raw)
    signature = Signature.parse(line)
    assert signature.is_by(key)
    assert key.verifies(text, signature.signature)
    assert not key.verifies(text, (time_s + 1).to_bytes(8, "big") + raw)
    assert not key.verifies(text, raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        "na me" + NEUMANN[12:],
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN[:-4] + "!!!!",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        VerifierKey.parse(text)


@pytest.mark.parametrize("note", ["", "text\n", "text\n\n", "text\n\n— name AAAA", "a\n\nb\n"])
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(BadNote):
        split_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "log\n1\n",
        "\n1\n" + "A" * 43 + "=\n",
        "log\n01\n" + "A" * 43 + "=\n",
        "log\n-1\n" + "A" * 43 + "=\n",
        "log\n1\nAAAA\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        Checkpoint.parse(text)
