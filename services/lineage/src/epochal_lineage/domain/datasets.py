"""Datasets used by runs: the facts recorded in a run's lineage stream."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Inputs:
    """Dataset versions a run has used."""

    datasets: frozenset[str] = field(default_factory=frozenset)


class InputsAggregate:
    """Folds the lineage stream of one run."""

    category = "lineage"

    def initial(self) -> Inputs:
        """Nothing used."""
        return Inputs()

    def evolve(self, state: Inputs, event: Message) -> Inputs:
        """Fold one event."""
        if isinstance(event, pb.DatasetUsed):
            return replace(state, datasets=state.datasets | {event.dataset})
        return state


def dataset_version(project: str, dataset: str, uri: str, digest: str) -> str:
    """Return the resource name of a dataset version: named by content, else by where it is.

    Raises:
        InvalidArgument: neither digest nor uri is given.
    """
    if not digest and not uri:
        raise InvalidArgument(
            "a dataset needs a digest or a uri",
            violations=[Violation("digest", "required", "give digest, uri or both")],
        )
    source = digest.removeprefix("sha256:") or hashlib.sha256(uri.encode()).hexdigest()
    return f"{project}/datasets/{dataset}/versions/{source[:12]}"


def use_dataset(state: Inputs, used: pb.DatasetUsed) -> Sequence[Message]:
    """Record that a run reads a dataset version; doing it twice is once."""
    return [] if used.dataset in state.datasets else [used]
