"""Chunks of datasets that the platform has already, so that they need not be sent again."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import DatasetService

from epochal import names
from epochal.artifacts import ArtifactDoor
from epochal.client import Client
from epochal.errors import EpochalError
from epochal.profiling.chunking import read_manifest

#: Versions that are looked at for one whose chunks are kept.
NEWEST: Final = 10

_CHUNK: Final = re.compile(r"datasets/([^/]+)/chunks/([0-9a-f]{64})")


class KnownChunks:
    """What the newest kept version of each dataset is made of, read once a dataset."""

    def __init__(self, client: Client, door: ArtifactDoor) -> None:
        self._client = client
        self._door = door
        self._known: dict[str, tuple[str, frozenset[str]]] = {}

    def source_of(self, operation: pb.CommitArtifactRequest) -> str:
        """The artifact that has the bytes of this chunk; empty for none, and for what is no chunk.

        What cannot be found out now is taken for not known: then the bytes are sent.
        """
        chunk = _CHUNK.fullmatch(operation.path)
        if operation.kind != "chunk" or chunk is None:
            return ""
        dataset = f"{names.project_of(operation.run)}/datasets/{chunk[1]}"
        if dataset not in self._known:
            try:
                self._known[dataset] = self._newest(dataset)
            except EpochalError:
                self._known[dataset] = ("", frozenset())
        run, chunks = self._known[dataset]
        return f"{run}/artifacts/{operation.path}" if chunk[2] in chunks else ""

    def _newest(self, dataset: str) -> tuple[str, frozenset[str]]:
        request = pb.ListDatasetVersionsRequest(parent=dataset, page_size=NEWEST)
        for version in self._client.call(DatasetService.LIST_DATASET_VERSIONS, request).versions:
            if version.contents.storage == pb.DATASET_STORAGE_CHUNKS:
                run, _, path = version.contents.path.partition("/artifacts/")
                with tempfile.TemporaryDirectory(prefix="epochal-chunks-") as folder:
                    target = Path(folder) / "list"
                    self._door.get(run, path, target, digest="")
                    listed = read_manifest(target.read_bytes())
                return run, frozenset(name for one in listed for name in one.chunks)
        return "", frozenset()
