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
    """What a run has used and made: versions of datasets and models, logged models with steps.

    Attributes:
        described: dataset versions of which the contents were told.
    """

    datasets: frozenset[str] = field(default_factory=frozenset)
    made: frozenset[str] = field(default_factory=frozenset)
    described: frozenset[str] = field(default_factory=frozenset)
    versions: frozenset[str] = field(default_factory=frozenset)
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
                state = _described(state, event)
                return replace(state, datasets=state.datasets | {event.dataset})
            case pb.DatasetProduced():
                state = _described(state, event)
                return replace(state, made=state.made | {event.dataset})
            case pb.ModelVersionUsed():
                return replace(state, versions=state.versions | {event.model_version})
            case pb.LoggedModelUsed():
                return replace(state, models=state.models | {event.logged_model})
            case pb.LoggedModelProduced():
                return replace(state, produced={**state.produced, event.logged_model: event.step})
            case _:
                return state


def _described(state: Inputs, event: pb.DatasetUsed | pb.DatasetProduced) -> Inputs:
    if not event.HasField("contents"):
        return state
    return replace(state, described=state.described | {event.dataset})


def dataset_version(
    project: str,
    dataset: str,
    uri: str,
    digest: str,
    contents: pb.DatasetContents | None = None,
) -> str:
    """Return the resource name of a dataset version: named by content, else by where it is.

    What tells whether a place has still the same (entity tag, size, time, snapshot) counts with the
    place: when it differs, it is another version.

    Raises:
        InvalidArgument: neither digest nor uri is given.
    """
    if not digest and not uri:
        raise InvalidArgument(
            "a dataset needs a digest or a uri",
            violations=[Violation("digest", "required", "give digest, uri or both")],
        )
    source = digest.removeprefix("sha256:") or _named_by_place(uri, contents)
    return f"{project}/datasets/{dataset}/versions/{source[:12]}"


def _named_by_place(uri: str, contents: pb.DatasetContents | None) -> str:
    parts = [uri]
    if contents is not None:
        time = contents.modify_time.ToNanoseconds() if contents.HasField("modify_time") else 0
        told = [contents.etag, contents.snapshot, str(contents.size_bytes), str(time)]
        # An entity tag or a snapshot says it all; a time may differ for the same bytes.
        known = told[:2] if any(told[:2]) else told[2:]
        if any(one not in ("", "0") for one in known):
            parts += known
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def use_dataset(
    state: Inputs, used: pb.DatasetUsed, results: Sequence[pb.RuleResult] = ()
) -> Sequence[Message]:
    """Record that a run reads a dataset version; doing it twice is once."""
    news = used.HasField("contents") and used.dataset not in state.described
    first = used.dataset not in state.datasets
    return [*([used] if first or news else []), *_validated(used.run, used.dataset, results)]


def log_dataset(
    state: Inputs,
    produced: pb.DatasetProduced,
    columns: Sequence[pb.ColumnSource],
    results: Sequence[pb.RuleResult] = (),
) -> Sequence[Message]:
    """Record that a run makes a dataset version, and what its columns come from."""
    news = produced.HasField("contents") and produced.dataset not in state.described
    first = produced.dataset not in state.made
    derived = pb.ColumnsDerived(run=produced.run, dataset=produced.dataset, sources=columns)
    return [
        *([produced] if first or news else []),
        *([derived] if columns else []),
        *_validated(produced.run, produced.dataset, results),
    ]


def use_model(state: Inputs, used: pb.ModelVersionUsed) -> Sequence[Message]:
    """Record that a run reads a model version; doing it twice is once."""
    return [] if used.model_version in state.versions else [used]


def _validated(run: str, dataset: str, results: Sequence[pb.RuleResult]) -> list[Message]:
    if not results:
        return []
    passed = all(one.passed for one in results)
    return [pb.DatasetValidated(dataset=dataset, run=run, results=results, passed=passed)]


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
