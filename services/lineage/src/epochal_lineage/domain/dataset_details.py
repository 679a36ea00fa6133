"""Datasets that readers tell more of than a digest and a place."""

from __future__ import annotations

import hashlib

import epochal_proto.v1 as pb


def content_digest(request: pb.UseDatasetRequest) -> str:
    """Return the digest that names a dataset's version.

    Readers that tell details make digests of their own, which only mean something beside the
    dataset's name; both together stand for the content.
    """
    if request.digest or not request.HasField("details"):
        return request.digest
    told = f"{request.details.name}\n{request.details.digest}"
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def used(request: pb.UseDatasetRequest, dataset: str) -> pb.DatasetUsed:
    """Return the fact that a run reads a version of a dataset."""
    return pb.DatasetUsed(
        run=request.run,
        dataset=dataset,
        uri=request.uri,
        digest=request.digest,
        details=request.details if request.HasField("details") else None,
        features=request.features,
        contents=request.contents if request.HasField("contents") else None,
    )


def produced(request: pb.LogDatasetRequest, dataset: str) -> pb.DatasetProduced:
    """Return the fact that a run makes a version of a dataset."""
    return pb.DatasetProduced(
        run=request.run,
        dataset=dataset,
        uri=request.uri,
        digest=request.digest,
        features=request.features,
        contents=request.contents if request.HasField("contents") else None,
    )
