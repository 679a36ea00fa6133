"""What events of the registry assert: models, versions, who holds which alias and stage."""

from __future__ import annotations

from collections.abc import Iterator

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event

from epochal_lineage.projections.facts.stating import (
    Edge,
    EdgeEnd,
    Fact,
    Node,
    NodeEnd,
    artifact,
    family_of,
    implied,
    run_node,
    version_node,
)


def registered(event: Event) -> Iterator[Fact]:
    """A model."""
    model = event.payload
    assert isinstance(model, pb.ModelRegistered)
    label = model.display_name or model.name.rpartition("/")[2]
    yield Node(model.name, pb.NODE_KIND_MODEL, label=label)


def renamed(event: Event) -> Iterator[Fact]:
    """A model has another name for people."""
    told = event.payload
    assert isinstance(told, pb.ModelRenamed)
    yield Node(told.model, label=told.display_name or told.model.rpartition("/")[2])


def model_deleted(event: Event) -> Iterator[Fact]:
    """A model is deleted; its versions go with it."""
    assert isinstance(event.payload, pb.ModelDeleted)
    yield NodeEnd(event.payload.model)


def version_registered(event: Event) -> Iterator[Fact]:
    """A version, with the run, the artifact and the logged model it came from."""
    told = event.payload
    assert isinstance(told, pb.ModelVersionRegistered)
    model = family_of(told.name)
    kind = pb.NODE_KIND_MODEL_VERSION
    label = f"{model.rpartition('/')[2]} {told.version}"
    yield Node(told.name, kind, told.digest, told.source, label, model)
    this = version_node(told.name)
    if told.run:
        yield Edge(run_node(told.run), this, pb.EDGE_KIND_TRAINED)
    if told.run and told.artifact_path and not told.artifact_path.endswith("/"):
        name = artifact(told.run, told.artifact_path, told.digest)
        source = implied(name, pb.NODE_KIND_ARTIFACT)
        yield Edge(source, this, pb.EDGE_KIND_REGISTERED_AS)
    if told.logged_model:
        logged = implied(told.logged_model, pb.NODE_KIND_LOGGED_MODEL)
        yield Edge(logged, this, pb.EDGE_KIND_REGISTERED_AS)


def version_deleted(event: Event) -> Iterator[Fact]:
    """A version is deleted."""
    assert isinstance(event.payload, pb.ModelVersionDeleted)
    yield NodeEnd(event.payload.name)


def alias_set(event: Event) -> Iterator[Fact]:
    """A version holds an alias, and no other does."""
    told = event.payload
    assert isinstance(told, pb.ModelAliasSet)
    alias = _alias(told.model, told.alias)
    if told.old_version and told.old_version != told.version:
        old = f"{told.model}/versions/{told.old_version}"
        yield EdgeEnd(old, alias.name, pb.EDGE_KIND_HOLDS)
    yield alias
    version = version_node(f"{told.model}/versions/{told.version}")
    held = implied(alias.name, alias.kind, told.model)
    yield Edge(version, held, pb.EDGE_KIND_HOLDS)


def alias_deleted(event: Event) -> Iterator[Fact]:
    """An alias is gone."""
    told = event.payload
    assert isinstance(told, pb.ModelAliasDeleted)
    alias = _alias(told.model, told.alias).name
    if told.old_version:
        old = f"{told.model}/versions/{told.old_version}"
        yield EdgeEnd(old, alias, pb.EDGE_KIND_HOLDS)
    yield NodeEnd(alias)


def stage_changed(event: Event) -> Iterator[Fact]:
    """A version is in another stage."""
    told = event.payload
    assert isinstance(told, pb.ModelVersionStageChanged)
    model = family_of(told.name)
    if told.old_stage and told.old_stage != told.stage:
        yield EdgeEnd(told.name, _stage(model, told.old_stage).name, pb.EDGE_KIND_HOLDS)
    if told.stage:
        stage = _stage(model, told.stage)
        yield stage
        held = implied(stage.name, stage.kind, model)
        yield Edge(version_node(told.name), held, pb.EDGE_KIND_HOLDS)


def model_logged(event: Event) -> Iterator[Fact]:
    """A logged model, and the run that made it."""
    model = event.payload
    assert isinstance(model, pb.ModelLogged)
    kind = pb.NODE_KIND_LOGGED_MODEL
    yield Node(model.name, kind, label=model.display_name)
    if model.run:
        yield Edge(run_node(model.run), implied(model.name, kind), pb.EDGE_KIND_PRODUCED)


def logged_model_deleted(event: Event) -> Iterator[Fact]:
    """A logged model is deleted."""
    assert isinstance(event.payload, pb.LoggedModelDeleted)
    yield NodeEnd(event.payload.name)


def _alias(model: str, alias: str) -> Node:
    kind = pb.NODE_KIND_MODEL_ALIAS
    return Node(f"{model}/aliases/{alias}", kind, label=alias, parent=model)


def _stage(model: str, stage: str) -> Node:
    kind = pb.NODE_KIND_MODEL_STAGE
    return Node(f"{model}/stages/{stage}", kind, label=stage, parent=model)
