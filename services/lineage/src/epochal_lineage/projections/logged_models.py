"""Logged models as rows: what they are, what was measured of them, which runs had them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef

from epochal_lineage.domain.tags import changed_tags
from epochal_lineage.projections.graph import project_of
from epochal_lineage.projections.rows import (
    LINKED_MODELS,
    LOGGED_METRICS,
    LOGGED_MODELS,
    LinkedModelRow,
    LoggedMetricRow,
    LoggedModelRow,
)

_CHANGES = (
    pb.LoggedModelFinalized,
    pb.LoggedModelParamsAdded,
    pb.LoggedModelTagged,
    pb.LoggedModelMeasured,
    pb.LoggedModelDeleted,
)


class LoggedModelProjector:
    """Projects logged models. What was measured of a deleted one stays, unseen."""

    name = "logged models"
    tables = (LOGGED_MODELS, LOGGED_METRICS, LINKED_MODELS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """A change needs the row; a value counts only if it is newer; a link is made once."""
        payload = event.payload
        if isinstance(payload, _CHANGES):
            yield LOGGED_MODELS.ref(payload.name)
        if isinstance(payload, pb.LoggedModelMeasured):
            for metric in payload.metrics:
                yield LOGGED_METRICS.ref(*_key(payload.name, metric))
        link = _link(event)
        if link is not None:
            yield LINKED_MODELS.ref(*LINKED_MODELS.key_of(link))

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        link = _link(event)
        if link is not None:
            known = rows.get(LINKED_MODELS, *LINKED_MODELS.key_of(link))
            rows.put(LINKED_MODELS, replace(link, position=known.position) if known else link)
        if isinstance(payload, pb.ModelLogged):
            rows.put(LOGGED_MODELS, _logged(payload, event))
        elif isinstance(payload, _CHANGES):
            model = rows.get(LOGGED_MODELS, payload.name)
            if model is not None:
                _change(rows, replace(model, update_time=event.recorded_at), event)


def _logged(payload: pb.ModelLogged, event: Event) -> LoggedModelRow:
    return LoggedModelRow(
        name=payload.name,
        project=project_of(payload.name),
        display_name=payload.display_name,
        model_type=payload.model_type,
        run=payload.run,
        status=pb.LOGGED_MODEL_STATUS_PENDING,
        status_message="",
        params=_sorted(payload.params),
        tags=_sorted(payload.tags),
        creator=payload.creator,
        create_time=event.recorded_at,
        update_time=event.recorded_at,
    )


def _change(rows: Rows, model: LoggedModelRow, event: Event) -> None:
    match event.payload:
        case pb.LoggedModelFinalized() as final:
            model = replace(model, status=final.status, status_message=final.message)
        case pb.LoggedModelParamsAdded() as added:
            model = replace(model, params=_sorted({**json.loads(model.params), **added.params}))
        case pb.LoggedModelTagged() as tagged:
            tags = changed_tags(json.loads(model.tags), tagged.tags, tagged.removed)
            model = replace(model, tags=_sorted(tags))
        case pb.LoggedModelMeasured() as measured:
            for metric in measured.metrics:
                _measure(rows, measured.name, metric)
        case _:
            rows.delete(LOGGED_MODELS, model.name)
            return
    rows.put(LOGGED_MODELS, model)


def _measure(rows: Rows, name: str, metric: pb.LoggedModelMetric) -> None:
    known = rows.get(LOGGED_METRICS, *_key(name, metric))
    if known is None or (known.step, known.time_us) <= (metric.step, metric.time_us):
        row = LoggedMetricRow(*_key(name, metric), metric.value, metric.time_us, metric.step)
        rows.put(LOGGED_METRICS, row)


def _key(name: str, metric: pb.LoggedModelMetric) -> tuple[str, str, str, str, str]:
    return (name, metric.metric, metric.run, metric.dataset_name, metric.dataset_digest)


def _link(event: Event) -> LinkedModelRow | None:
    match event.payload:
        case pb.LoggedModelUsed() as used:
            return LinkedModelRow(used.run, used.logged_model, False, 0, event.position)
        case pb.LoggedModelProduced() as made:
            return LinkedModelRow(made.run, made.logged_model, True, made.step, event.position)
        case _:
            return None


def _sorted(items: Mapping[str, str]) -> Json:
    return Json(json.dumps(dict(sorted(items.items()))))
