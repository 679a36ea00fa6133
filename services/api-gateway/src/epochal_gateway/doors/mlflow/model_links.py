"""What runs have to do with logged models: those they read and made, and what they measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import LoggedModelService

from epochal_gateway.doors.mlflow import logged_models
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

#: Runs whose links are read at once; their projects are no more than a call may name.
MOST_RUNS: Final = 1_000


async def log_outputs(session: Session, fields: Fields) -> JsonObject:
    """Record that a run has made logged models, each at a step."""
    run = await session.platform.runs.writable(session.org, fields.required("run_id"))
    made = [(one.required("model_id"), one.whole("step")) for one in fields.objects("models")]
    await link(session, run, [], made)
    return {}


async def link(
    session: Session, run: str, used: Iterable[str], made: Iterable[tuple[str, int]]
) -> None:
    """Record that a run has read some logged models, and made others at a step.

    Args:
        session: of the caller.
        run: resource name.
        used: ids of models it has read.
        made: ids of models it has made, with steps.

    Raises:
        MlflowError: a model is not there.
    """
    request = pb.LinkLoggedModelsRequest(
        run=run,
        used=[(await logged_models.find(session, one)).name for one in used],
        produced=[
            pb.ProducedModel(logged_model=(await logged_models.find(session, one)).name, step=step)
            for one, step in made
        ],
    )
    await session.call(LoggedModelService.LINK_LOGGED_MODELS, request)


@dataclass(frozen=True, slots=True)
class Linked:
    """The logged models that a run has read, and those it has made, as MLflow has them."""

    used: list[JsonObject] = field(default_factory=list)
    made: list[JsonObject] = field(default_factory=list)


async def linked(session: Session, runs: Sequence[str]) -> dict[str, Linked]:
    """Return by run what logged models it has read and made; of a run that has none, nothing."""
    found: dict[str, Linked] = {}
    for start in range(0, len(runs), MOST_RUNS):
        some = runs[start : start + MOST_RUNS]
        parents = sorted({run.partition("/runs/")[0] for run in some})
        answer = await session.call(
            LoggedModelService.BATCH_LIST_LINKED_MODELS,
            pb.BatchListLinkedModelsRequest(parents=parents, runs=some),
        )
        for one in answer.runs:
            found[one.run] = Linked(
                [{"model_id": name.rpartition("/")[2]} for name in one.used],
                [
                    {"model_id": made.logged_model.rpartition("/")[2], "step": made.step}
                    for made in one.produced
                ],
            )
    return found


async def measured(session: Session, run: str, metrics: Iterable[Fields]) -> None:
    """Record those of a run's metrics that say which logged model they were measured of.

    Raises:
        MlflowError: a model is not there.
    """
    by_model: dict[str, list[pb.LoggedModelMetric]] = {}
    for one in metrics:
        model_id = one.text("model_id")
        if model_id:
            by_model.setdefault(model_id, []).append(
                pb.LoggedModelMetric(
                    metric=one.required("key"),
                    value=one.number("value"),
                    time_us=one.required_whole("timestamp") * 1_000,
                    step=one.whole("step"),
                    run=run,
                    dataset_name=one.text("dataset_name", limit=500),
                    dataset_digest=one.text("dataset_digest", limit=100),
                )
            )
    for model_id, found in by_model.items():
        model = await logged_models.find(session, model_id)
        request = pb.MeasureLoggedModelRequest(name=model.name, metrics=found)
        await session.call(LoggedModelService.MEASURE_LOGGED_MODEL, request)


def routes() -> list[MlflowRoute]:
    """Return the routes of what runs make."""
    return [MlflowRoute("POST", "runs/outputs", log_outputs)]
