"""What is known of a move: what was moved, and what is on the platform already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ArtifactService

from epochal.client import Client

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:epochal:import:mlflow")


@dataclass
class Summary:
    """What was moved; `passed` runs were here already, `updated` versions were and had changed."""

    experiments: int = 0
    runs: int = 0
    passed: int = 0
    points: int = 0
    files: int = 0
    bytes: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0
    updated: int = 0


def run_uuid(run_id: str) -> UUID:
    """The UUID of a run: its own, or one that follows from an id that is none."""
    try:
        return UUID(run_id)
    except ValueError:
        return uuid5(NAMESPACE, run_id)


def sizes(client: Client, run: str) -> dict[str, int]:
    """Sizes of the artifacts of a run, by path."""
    found: dict[str, int] = {}
    request = pb.ListArtifactsRequest(run=run, page_size=1_000)
    while True:
        answer = client.call(ArtifactService.LIST_ARTIFACTS, request)
        found.update((one.path, one.size_bytes) for one in answer.artifacts)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found
