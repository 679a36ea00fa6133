"""What events of runs assert: the runs, their jobs, their code, what they made, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event

from epochal_lineage.projections.facts.stating import (
    Edge,
    Fact,
    Node,
    NodeEnd,
    artifact,
    implied,
    project_of,
    run_node,
)

_SERVICES = frozenset({pb.RUN_KIND_SERVICE})


def created(event: Event) -> Iterator[Fact]:
    """A run, the job it is of, and the runs it was made because of."""
    run = event.payload
    assert isinstance(run, pb.RunCreated)
    job = job_of(run)
    kind = pb.NODE_KIND_DEPLOYMENT if run.kind in _SERVICES else pb.NODE_KIND_RUN
    if job:
        yield Node(job, pb.NODE_KIND_JOB, label=job.rpartition("/")[2])
    node = Node(run.name, kind, run.spec_digest, label=run.display_name, parent=job)
    yield node
    this = implied(run.name, kind)
    if run.pipeline:
        yield Edge(run_node(run.pipeline), this, pb.EDGE_KIND_CONTAINS)
    if run.origin:
        again = run.origin_kind == "restart"
        how = pb.EDGE_KIND_RESTARTED if again else pb.EDGE_KIND_REUSED
        yield Edge(run_node(run.origin), this, how)
    for edge in run.edges:
        if "/runs/" in edge.source and edge.source != run.pipeline:
            yield Edge(run_node(edge.source), this, pb.EDGE_KIND_TRIGGERED)


def job_of(run: pb.RunCreated) -> str:
    """Return the name of the job that a run is a run of; empty when nothing names one.

    An operation is known by the name it has in its file, a step of a pipeline without one by the
    name of the step.
    """
    name = (run.compiled_json and _named(run.compiled_json)) or run.step
    return f"{project_of(run.name)}/jobs/{name}" if name else ""


@lru_cache(maxsize=256)  # asked twice of each run: for what it touches, and for what it writes
def _named(plan: str) -> str:
    """The name in a compiled operation."""
    try:
        told = json.loads(plan)
    except ValueError:
        return ""
    name = told.get("name") if isinstance(told, dict) else None
    return name if isinstance(name, str) else ""


def renamed(event: Event) -> Iterator[Fact]:
    """A run has another name for people."""
    assert isinstance(event.payload, pb.RunRenamed)
    yield Node(event.resource, label=event.payload.display_name)


def deleted(event: Event) -> Iterator[Fact]:
    """A run is deleted; what came of it is not."""
    yield NodeEnd(event.resource)


def back(event: Event) -> Iterator[Fact]:
    """A run is there again: restored, or a service that was resumed."""
    yield Node(event.resource, back=True)


def over(event: Event) -> Iterator[Fact]:
    """A run has ended: if it served, it does not any more."""
    yield NodeEnd(event.resource, pb.NODE_KIND_DEPLOYMENT)


def reused(event: Event) -> Iterator[Fact]:
    """Results of an equal run stand in for a run's own."""
    assert isinstance(event.payload, pb.RunReused)
    yield Edge(run_node(event.payload.source), run_node(event.resource), pb.EDGE_KIND_REUSED)


def captured(event: Event) -> Iterator[Fact]:
    """The code of a run: a commit, with changes if there were any, or an upload."""
    assert isinstance(event.payload, pb.CaptureRecorded)
    run, capture = event.payload.run, event.payload.capture
    code: list[Node] = []
    folder = f"{project_of(run)}/code"
    if capture.git.commit:
        git = capture.git
        changes = git.diff_digest.removeprefix("sha256:")[:12] or ("changed" if git.dirty else "")
        name = f"{folder}/git-{git.commit}" + (f"+{changes}" if changes else "")
        code.append(Node(name, pb.NODE_KIND_CODE, git.diff_digest, git.url, git.branch))
    if capture.upload_digest:
        name = f"{folder}/upload-{capture.upload_digest.removeprefix('sha256:')[:12]}"
        code.append(Node(name, pb.NODE_KIND_CODE, capture.upload_digest))
    for node in code:
        yield node
        yield Edge(implied(node.name, node.kind), run_node(run), pb.EDGE_KIND_RAN)


def artifact_logged(event: Event) -> Iterator[Fact]:
    """A run made a file; the same path with other content is another version."""
    logged = event.payload
    assert isinstance(logged, pb.ArtifactLogged)
    if logged.kind == "chunk":
        return  # a piece of a dataset, whose version is a node
    digest = f"sha256:{logged.sha256.hex()}"
    name = artifact(logged.run, logged.path, digest)
    yield Node(name, pb.NODE_KIND_ARTIFACT, digest, label=logged.path)
    target = implied(name, pb.NODE_KIND_ARTIFACT)
    yield Edge(run_node(logged.run), target, pb.EDGE_KIND_PRODUCED)


def artifacts_deleted(event: Event) -> Iterator[Fact]:
    """Files of a run are gone, as far as the event says which versions they were."""
    gone = event.payload
    assert isinstance(gone, pb.ArtifactsDeleted)
    for path, digest in zip(gone.paths, gone.digests, strict=False):
        yield NodeEnd(artifact(gone.run, path, digest.hex()))
