"""Stages of a dataset as a stream: each belongs to one of its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class DatasetStages:
    """Version that has each stage."""

    held: Mapping[str, str] = field(default_factory=dict)


class DatasetStagesAggregate:
    """Folds the stages of one dataset."""

    category = "lineage"

    def initial(self) -> DatasetStages:
        """No stages."""
        return DatasetStages()

    def evolve(self, state: DatasetStages, event: Message) -> DatasetStages:
        """Fold one event."""
        match event:
            case pb.DatasetStageSet(stage=stage, version=version):
                rest = {name: one for name, one in state.held.items() if name != stage}
                return DatasetStages({**rest, stage: version} if version else rest)
            case _:
                return state


def give_stage(
    state: DatasetStages, dataset: str, stage: str, version: str, reason: str
) -> Sequence[Message]:
    """Give a stage to a version; one that has it keeps it."""
    return _set(state, dataset, stage, version, reason)


def take_stage(
    state: DatasetStages, dataset: str, stage: str, version: str, reason: str
) -> Sequence[Message]:
    """Take a stage away from the version that has it.

    Raises:
        FailedPrecondition: it has it not.
    """
    holder = state.held.get(stage, "")
    if holder != version:
        raise FailedPrecondition(
            f"{version} of {dataset} is not in {stage}" + (f", {holder} is" if holder else ""),
            reason="STAGE_NOT_HELD",
            resource=dataset,
        )
    return _set(state, dataset, stage, "", reason)


def _set(
    state: DatasetStages, dataset: str, stage: str, version: str, reason: str
) -> Sequence[Message]:
    old = state.held.get(stage, "")
    if old == version:
        return []
    return [
        pb.DatasetStageSet(
            dataset=dataset, stage=stage, version=version, old_version=old, reason=reason
        )
    ]
