"""An event of OpenLineage: read, checked, and with the parts that lineage is made of. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from epochal_lineage.openlineage.facets import problems

TYPES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
MAX_DATASETS: Final = 2_000
MAX_NAME: Final = 4_000

#: U+0000 as JSON writes it: PostgreSQL keeps no such text.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

Json = Any


class Refused(ValueError):
    """An event that cannot be taken.

    Attributes:
        field: where, such as "job.name".
        rule: what must hold.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}" if field else rule)
        self.field = field
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Thing:
    """A job or a dataset by its two names, with its facets.

    Attributes:
        about: facets of a dataset as an input or output of the run.
    """

    namespace: str
    name: str
    facets: Mapping[str, Json]
    about: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LineageEvent:
    """A RunEvent, JobEvent or DatasetEvent.

    Attributes:
        time: UTC.
        type: one of TYPES, or empty.
        run_id: empty unless it is about a run.
        run_facets: of the run.
        job: None for an event about a dataset.
        dataset: None unless it is about one.
        text: all of it, as JSON with its keys in order and no spaces.
    """

    time: datetime
    type: str
    run_id: str
    run_facets: Mapping[str, Json]
    job: Thing | None
    dataset: Thing | None
    inputs: Sequence[Thing]
    outputs: Sequence[Thing]
    text: str


def read(data: bytes) -> LineageEvent:
    """Read and check an event.

    Raises:
        Refused: it is not JSON, not an event, or a standard facet is not as its schema says.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise Refused("", f"an event has at most {MAX_EVENT_BYTES} bytes, this has {len(data)}")
    try:
        value = json.loads(data, parse_constant=_no_constant)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise Refused("", f"an event must be JSON: {error}") from None
    if _NUL.search(text):
        raise Refused("", "no text of an event may have the character U+0000")
    event = parse(value, text)
    for field, rule in _facet_problems(event, value):
        raise Refused(field, rule)
    return event


def recorded(data: bytes) -> LineageEvent | None:
    """Take apart an event that was recorded; None for one without content."""
    return parse(json.loads(data)) if data else None


def parse(value: Json, text: str = "") -> LineageEvent:
    """Take an event apart.

    Raises:
        Refused: something that lineage needs is missing or of another type.
    """
    fields = _object(value, "")
    run = _object(fields["run"], "run") if fields.get("run") is not None else None
    about = [name for name in ("job", "dataset") if fields.get(name) is not None]
    if about not in (["job"], ["dataset"]) or (run is not None and about != ["job"]):
        raise Refused("", "an event is about a run and its job, a job, or a dataset")
    kind = fields.get("eventType")
    if kind is not None and (run is None or kind not in TYPES):
        raise Refused("eventType", f"must be one of {', '.join(TYPES)}, and only a run has one")
    dataset = "dataset" in about
    return LineageEvent(
        time=_time(fields.get("eventTime")),
        type=kind or "",
        run_id=_text(run, "runId", "run") if run is not None else "",
        run_facets=_facets(run, "facets", "run") if run is not None else {},
        job=None if dataset else _thing(fields["job"], "job", ""),
        dataset=_thing(fields["dataset"], "dataset", "") if dataset else None,
        inputs=_things(fields, "inputs", "inputFacets"),
        outputs=_things(fields, "outputs", "outputFacets"),
        text=text,
    )


def _facet_problems(event: LineageEvent, value: Json) -> Iterator[tuple[str, str]]:
    yield from problems("run", event.run_facets, "run.facets")
    if event.job is not None:
        yield from problems("job", event.job.facets, "job.facets")
    if event.dataset is not None:
        yield from problems("dataset", event.dataset.facets, "dataset.facets")
    for side, place, things in (
        ("inputs", "inputFacets", event.inputs),
        ("outputs", "outputFacets", event.outputs),
    ):
        for number, one in enumerate(things):
            yield from problems("dataset", one.facets, f"{side}[{number}].facets")
            yield from problems(place, one.about, f"{side}[{number}].{place}")


def _things(fields: Mapping[str, Json], name: str, about: str) -> list[Thing]:
    found = fields.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > MAX_DATASETS:
        raise Refused(name, f"must be a list of at most {MAX_DATASETS} datasets")
    return [_thing(one, f"{name}[{number}]", about) for number, one in enumerate(found)]


def _thing(value: Json, path: str, about: str) -> Thing:
    fields = _object(value, path)
    return Thing(
        namespace=_text(fields, "namespace", path),
        name=_text(fields, "name", path),
        facets=_facets(fields, "facets", path),
        about=_facets(fields, about, path) if about else {},
    )


def _facets(fields: Mapping[str, Json], name: str, path: str) -> Mapping[str, Json]:
    value = fields.get(name)
    return {} if value is None else _object(value, f"{path}.{name}")


def _object(value: Json, path: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise Refused(path, "must be an object")
    return value


def _text(fields: Mapping[str, Json], name: str, path: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_NAME:
        raise Refused(f"{path}.{name}", f"must be a text of 1 to {MAX_NAME} characters")
    return value


def _time(value: Json) -> datetime:
    try:
        if not isinstance(value, str):
            raise ValueError
        # Some producers send nanoseconds: six digits are kept.
        head, dot, rest = value.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        zone = rest[len(digits) :]
        whole = f"{head}.{digits[:6]}{zone}" if dot else value
        time = datetime.fromisoformat(whole)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("eventTime", "must be a time such as 2026-11-28T12:00:00.000Z") from None


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no value of JSON")
