"""The files that a version is of: listed once, with the digest of each, and never again changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation

from epochal_lineage.domain.signing import SignatureRefused, differing_files, read_bundle

MOST_FILES: Final = 20_000


class Artifact(Protocol):
    """What is known of an artifact of a run."""

    @property
    def run(self) -> str:
        """The run's name."""
        ...

    @property
    def path(self) -> str:
        """Path under the run."""
        ...

    @property
    def sha256(self) -> bytes:
        """Digest of its bytes."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...


def files_of(artifacts: Sequence[Artifact], path: str) -> list[pb.ModelVersionFile]:
    """Return the files of an artifact with their paths below it; one file has its own name.

    Raises:
        InvalidArgument: there are more than a version may be of.
    """
    if len(artifacts) > MOST_FILES:
        raise InvalidArgument(
            f"{path} has {len(artifacts)} files, a version {MOST_FILES} at most",
            violations=[Violation("artifact_path", "files", "pack them, or register a part")],
        )
    return [
        pb.ModelVersionFile(
            path=one.path[len(path) :] if path.endswith("/") else one.path.rpartition("/")[2],
            sha256=one.sha256,
            size_bytes=one.size_bytes,
            artifact=f"{one.run}/artifacts/{one.path}",
        )
        for one in artifacts
    ]


def signer_of(bundle: str, files: Iterable[pb.ModelVersionFile], field: str) -> str:
    """Return the key that a bundle names, once it is of these very files.

    Whether the signature holds shows when somebody trusts the key: the bundle does not have it.

    Raises:
        InvalidArgument: it is no bundle, or of other files.
    """
    try:
        signed = read_bundle(bundle)
    except SignatureRefused as error:
        raise _refused(field, str(error)) from None
    if difference := differing_files(signed.files, {one.path: one.sha256 for one in files}):
        raise _refused(field, difference)
    return signed.key


def schema_json(text: str) -> str:
    """Return the schema of what goes in and out as it was given, once it is an object of JSON.

    Raises:
        InvalidArgument: it is not.
    """
    if not text:
        return ""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidArgument(
            "the schema is no JSON object",
            violations=[
                Violation("signature_json", "json", 'such as {"inputs": "[...]", "outputs": "[]"}')
            ],
        )
    return text


def _refused(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"the signature cannot be taken: {why}", violations=[Violation(field, "signature", why)]
    )
