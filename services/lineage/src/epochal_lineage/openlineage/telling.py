"""Events of ours in the words of OpenLineage, for receivers elsewhere. Pure.

One event of ours is at most one of theirs, made from it and from the creation of its run alone, so
the same history always tells the same and a receiver may be told again. Inputs and outputs come as
they become known: OpenLineage adds up what the events of a run say.
"""

from __future__ import annotations

from typing import Any, Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from google.protobuf.message import Message

from epochal_lineage.projections.facts.runs import job_of
from epochal_lineage.projections.facts.stating import family_of, project_of

Json = dict[str, Any]

PRODUCER: Final = "urn:epochal:lineage"
_SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"

_ENDS: Final[dict[type[Message], str]] = {
    pb.RunSucceeded: "COMPLETE",
    pb.RunFailed: "FAIL",
    pb.RunStopped: "ABORT",
    pb.RunSkipped: "ABORT",
    pb.RunUpstreamFailed: "ABORT",
}
_INPUTS: Final = (pb.DatasetUsed, pb.ModelVersionUsed)
_OUTPUTS: Final = (pb.DatasetProduced, pb.ModelVersionRegistered)

#: A model may be registered after the end of its run.
_TYPES: Final = {**_ENDS, pb.RunStarted: "START", pb.ModelVersionRegistered: "OTHER"}

#: What is told of at all.
TOLD: Final = (pb.RunStarted, pb.CaptureRecorded, *_ENDS, *_INPUTS, *_OUTPUTS)


def run_of(event: Event) -> str:
    """Return the run that an event tells of; empty when it tells of none."""
    payload = event.payload
    if isinstance(payload, (pb.RunStarted, *_ENDS)):
        return event.resource
    if isinstance(payload, (*_INPUTS, *_OUTPUTS, pb.CaptureRecorded)):
        return str(payload.run)
    return ""


def told(
    event: Event, created: pb.RunCreated, namespace: str, pipeline: pb.RunCreated | None = None
) -> Json:
    """Return an event of ours as a RunEvent.

    Args:
        event: one of TOLD.
        created: the beginning of its run.
        namespace: of this platform; jobs are below it, by organisation and project.
        pipeline: the beginning of the run that made it as a step.
    """
    payload = event.payload
    kind = _ENDS.get(type(payload)) or (
        "START" if isinstance(payload, pb.RunStarted) else "RUNNING"
    )
    if isinstance(payload, pb.ModelVersionRegistered):
        kind = "OTHER"  # it may come after the end
    return {
        "eventType": kind,
        "eventTime": event.recorded_at.isoformat(timespec="milliseconds"),
        "producer": PRODUCER,
        "schemaURL": _SPEC,
        "run": {
            "runId": _uid(created.name),
            "facets": _run_facets(event, created, namespace, pipeline),
        },
        "job": {**_job(created, namespace), "facets": _job_facets(event, created)},
        "inputs": [_dataset(payload, namespace)] if isinstance(payload, _INPUTS) else [],
        "outputs": [_dataset(payload, namespace)] if isinstance(payload, _OUTPUTS) else [],
    }


def _job(created: pb.RunCreated, namespace: str) -> Json:
    name = job_of(created).rpartition("/jobs/")[2] or created.display_name or "run"
    return {"namespace": _namespace(created.name, namespace), "name": name}


def _namespace(resource: str, namespace: str) -> str:
    _, org, _, project = project_of(resource).split("/")
    return f"{namespace}/{org}/{project}"


def _run_facets(
    event: Event, created: pb.RunCreated, namespace: str, pipeline: pb.RunCreated | None
) -> Json:
    facets: Json = {
        "processingEngine": _facet(
            "1-1-1/ProcessingEngineRunFacet", name="Epochal", version="0.1.0"
        ),
        "epochal_event": {
            "_producer": PRODUCER,
            "_schemaURL": f"{PRODUCER}:EpochalEventRunFacet",
            "run": created.name,
            "position": event.position,
            "eventId": str(event.event_id),
            "type": event.type,
        },
    }
    if pipeline is not None:
        facets["parent"] = _facet(
            "1-2-0/ParentRunFacet",
            run={"runId": _uid(pipeline.name)},
            job=_job(pipeline, namespace),
        )
    if created.HasField("schedule_time"):
        time = created.schedule_time.ToJsonString()
        facets["nominalTime"] = _facet("1-0-1/NominalTimeRunFacet", nominalStartTime=time)
    if isinstance(event.payload, pb.RunFailed):
        facets["errorMessage"] = _facet(
            "1-0-1/ErrorMessageRunFacet",
            message=event.payload.message or "it failed",
            programmingLanguage="Python",
        )
    return facets


def _job_facets(event: Event, created: pb.RunCreated) -> Json:
    word = pb.RunKind.Name(created.kind).removeprefix("RUN_KIND_")
    facets: Json = {
        "jobType": _facet(
            "2-0-4/JobTypeJobFacet", processingType="BATCH", integration="EPOCHAL", jobType=word
        )
    }
    if created.description:
        text = created.description
        facets["documentation"] = _facet("1-1-0/DocumentationJobFacet", description=text)
    if isinstance(event.payload, pb.CaptureRecorded) and event.payload.capture.git.commit:
        git = event.payload.capture.git
        where = {"repoUrl": git.url, "branch": git.branch}
        facets["sourceCodeLocation"] = _facet(
            "1-1-0/SourceCodeLocationJobFacet",
            type="git",
            url=git.url or "file:unknown",
            version=git.commit,
            **{name: value for name, value in where.items() if value},
        )
    return facets


def _dataset(payload: Message, namespace: str) -> Json:
    """A version of a dataset or a model, as a dataset with its version."""
    uri = ""
    match payload:
        case pb.DatasetUsed() | pb.DatasetProduced():
            version, uri = payload.dataset, payload.uri
        case pb.ModelVersionUsed():
            version = payload.model_version
        case pb.ModelVersionRegistered():
            version = payload.name
        case _:
            raise TypeError(payload.DESCRIPTOR.full_name)
    family, number = family_of(version), version.rpartition("/versions/")[2]
    facets = {"version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=number)}
    if "://" in uri:
        scheme, _, rest = uri.partition("://")
        authority, _, path = rest.partition("/")
        other = {"namespace": f"{scheme}://{authority}", "name": path or "/", "type": "LOCATION"}
        facets["symlinks"] = _facet("1-0-1/SymlinksDatasetFacet", identifiers=[other])
    kind = "/".join(family.split("/")[4:])  # "datasets/digits", "models/digits"
    name = kind.removeprefix("datasets/")
    return {"namespace": _namespace(family, namespace), "name": name, "facets": facets}


def _facet(schema: str, **fields: object) -> Json:
    file, name = schema, schema.rpartition("/")[2]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_FACETS}/{file}.json#/$defs/{name}",
        **fields,
    }


def _uid(run: str) -> str:
    return run.rpartition("/")[2]
