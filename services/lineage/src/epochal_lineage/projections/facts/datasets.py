"""What events of lineage assert: datasets read and made, columns, models read and made."""

from __future__ import annotations

from collections.abc import Iterator

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event

from epochal_lineage.projections.facts.stating import (
    MAX_COLUMN,
    Column,
    Edge,
    Fact,
    Node,
    dataset_node,
    family_of,
    implied,
    run_node,
    version_node,
)


def used(event: Event) -> Iterator[Fact]:
    """A run read a version of a dataset."""
    assert isinstance(event.payload, pb.DatasetUsed)
    yield from _versions(event.payload)
    yield Edge(dataset_node(event.payload.dataset), run_node(event.payload.run), pb.EDGE_KIND_USED)


def produced(event: Event) -> Iterator[Fact]:
    """A run made a version of a dataset."""
    made = event.payload
    assert isinstance(made, pb.DatasetProduced)
    yield from _versions(made)
    yield Edge(run_node(made.run), dataset_node(made.dataset), pb.EDGE_KIND_PRODUCED)


def columns_derived(event: Event) -> Iterator[Fact]:
    """Columns come from columns."""
    told = event.payload
    assert isinstance(told, pb.ColumnsDerived)
    for one in told.sources:
        yield Column(
            dataset_node(one.source),
            one.source_column[:MAX_COLUMN],
            dataset_node(told.dataset),
            one.column[:MAX_COLUMN],
            told.run,
            one.transformation,
            one.description,
            one.masking,
        )


def model_used(event: Event) -> Iterator[Fact]:
    """A run read a version of a model; the projector knows whether it serves it, too."""
    told = event.payload
    assert isinstance(told, pb.ModelVersionUsed)
    yield Edge(version_node(told.model_version), run_node(told.run), pb.EDGE_KIND_USED)


def logged_model_used(event: Event) -> Iterator[Fact]:
    """A run read a logged model."""
    told = event.payload
    assert isinstance(told, pb.LoggedModelUsed)
    model = implied(told.logged_model, pb.NODE_KIND_LOGGED_MODEL)
    yield Edge(model, run_node(told.run), pb.EDGE_KIND_USED)


def logged_model_produced(event: Event) -> Iterator[Fact]:
    """A run made a logged model."""
    told = event.payload
    assert isinstance(told, pb.LoggedModelProduced)
    model = implied(told.logged_model, pb.NODE_KIND_LOGGED_MODEL)
    yield Edge(run_node(told.run), model, pb.EDGE_KIND_PRODUCED)


def _versions(told: pb.DatasetUsed | pb.DatasetProduced) -> Iterator[Fact]:
    family = family_of(told.dataset)
    label = told.details.name or family.rpartition("/")[2]
    if family:
        yield Node(family, pb.NODE_KIND_DATASET_FAMILY, label=family.rpartition("/")[2])
    kind = pb.NODE_KIND_FEATURE_SET if told.features else pb.NODE_KIND_DATASET
    digest = told.digest or told.details.digest
    yield Node(told.dataset, kind, digest, told.uri, label, family)
