"""What runs read and made: the facts recorded in a run's lineage stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Inputs:
    """Dataset versions and logged models a run has used, and logged models it made, with steps."""

    datasets: frozenset[str] = field(default_factory=frozenset)
    models: frozenset[str] = field(default_factory=frozenset)
    produced: Mapping[str, int] = field(default_factory=dict)


class InputsAggregate:
    """Folds the lineage stream of one run."""

    category = "lineage"

    def initial(self) -> Inputs:
        """Nothing used or made."""
        return Inputs()

    def evolve(self, state: Inputs, event: Message) -> Inputs:
        """Fold one event."""
        match event:
            case pb.DatasetUsed():
                return replace(state, datasets=state.datasets | {event.dataset})
            case pb.LoggedModelUsed():
                return replace(state, models=state.models | {event.logged_model})
            case pb.LoggedModelProduced():
                return replace(state, produced={**state.produced, event.logged_model: event.step})
            case _:
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


def link_models(
    state: Inputs, run: str, used: Iterable[str], produced: Mapping[str, int]
) -> Sequence[Message]:
    """Record which logged models a run has read, and which it made at what step."""
    return [
        *(
            pb.LoggedModelUsed(run=run, logged_model=model)
            for model in dict.fromkeys(used)
            if model not in state.models
        ),
        *(
            pb.LoggedModelProduced(run=run, logged_model=model, step=step)
            for model, step in produced.items()
            if state.produced.get(model) != step
        ),
    ]
