"""Which rule tells the facts of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import event_types
from google.protobuf.message import Message

from epochal_lineage.projections.facts import datasets, models, openlineage, runs
from epochal_lineage.projections.facts.stating import Fact

Rule = Callable[[Event], Iterator[Fact]]

#: One rule a type of event. Rules are pure, and tell all that they will ever tell from the event.
RULES: Final[Mapping[type[Message], Rule]] = MappingProxyType(
    {
        pb.RunCreated: runs.created,
        pb.RunRenamed: runs.renamed,
        pb.RunDeleted: runs.deleted,
        pb.RunRestored: runs.back,
        pb.RunResumed: runs.back,
        pb.RunSucceeded: runs.over,
        pb.RunFailed: runs.over,
        pb.RunStopped: runs.over,
        pb.RunReused: runs.reused,
        pb.CaptureRecorded: runs.captured,
        pb.ArtifactLogged: runs.artifact_logged,
        pb.ArtifactsDeleted: runs.artifacts_deleted,
        pb.DatasetUsed: datasets.used,
        pb.DatasetProduced: datasets.produced,
        pb.ColumnsDerived: datasets.columns_derived,
        pb.ModelVersionUsed: datasets.model_used,
        pb.LoggedModelUsed: datasets.logged_model_used,
        pb.LoggedModelProduced: datasets.logged_model_produced,
        pb.ModelRegistered: models.registered,
        pb.ModelRenamed: models.renamed,
        pb.ModelDeleted: models.model_deleted,
        pb.ModelVersionRegistered: models.version_registered,
        pb.ModelVersionDeleted: models.version_deleted,
        pb.ModelAliasSet: models.alias_set,
        pb.ModelAliasDeleted: models.alias_deleted,
        pb.ModelVersionStageChanged: models.stage_changed,
        pb.ModelLogged: models.model_logged,
        pb.LoggedModelDeleted: models.logged_model_deleted,
        pb.OpenLineageReceived: openlineage.received,
    }
)

INTERESTS: Final = event_types(*RULES)


def facts_of(event: Event) -> list[Fact]:
    """Return what an event asserts about the graph, in order."""
    rule = RULES.get(type(event.payload))
    return list(rule(event)) if rule is not None else []
