"""What runs can be asked for, under which names, and of what type each is."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum
from typing import Final

from epochal_kernel.errors import InvalidArgument, Violation

from epochal_tracker.search.syntax import Field


class Type(Enum):
    """How values of a field are read and compared."""

    TEXT = "text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TIME = "a time"
    STATUS = "a status"
    KIND = "a kind"
    RUN = "a run"
    FLAG = "true or false"
    VALUE = "text or a number"


@dataclass(frozen=True, slots=True)
class Known:
    """A field of runs: its type and the SQL of its value."""

    type: Type
    sql: str


#: Fields with one value a run. An empty text is a missing one.
FIELDS: Final[dict[str, Known]] = {
    "run_id": Known(Type.RUN, "r.run_id"),
    "name": Known(Type.TEXT, "r.display_name"),
    "project": Known(Type.TEXT, "split_part(r.project, '/', 4)"),
    "status": Known(Type.STATUS, "r.status"),
    "kind": Known(Type.KIND, "r.kind"),
    "creator": Known(Type.TEXT, "r.creator"),
    "queue": Known(Type.TEXT, "r.queue"),
    "message": Known(Type.TEXT, "r.message"),
    "attempt": Known(Type.WHOLE, "r.attempt"),
    "exit_code": Known(Type.WHOLE, "r.exit_code"),
    "create_time": Known(Type.TIME, "r.create_time"),
    "start_time": Known(Type.TIME, "r.start_time"),
    "end_time": Known(Type.TIME, "r.end_time"),
    "schedule_time": Known(Type.TIME, "r.schedule_time"),
    "delete_time": Known(Type.TIME, "r.delete_time"),
    "duration": Known(Type.NUMBER, "extract(epoch FROM r.end_time - r.start_time)::float8"),
    "wait_time": Known(Type.NUMBER, "extract(epoch FROM r.start_time - r.create_time)::float8"),
    "pipeline": Known(Type.RUN, "r.pipeline"),
    "origin": Known(Type.RUN, "r.origin"),
    "origin_kind": Known(Type.TEXT, "r.origin_kind"),
    "step": Known(Type.TEXT, "r.step"),
    "iteration": Known(Type.WHOLE, "r.iteration"),
    "spec_digest": Known(Type.TEXT, "r.spec_digest"),
    "paused": Known(Type.FLAG, "r.paused"),
}

#: What MLflow's filters ask for, as MLflow has it; no name of Epochal's filters.
MLFLOW: Final[dict[str, Known]] = {
    "begin_time": Known(Type.TIME, "coalesce(r.start_time, r.create_time)"),
    "user_id": Known(
        Type.TEXT, "coalesce(r.tags ->> 'mlflow.user', split_part(r.creator, '/', 2))"
    ),
    "run_hex": Known(Type.TEXT, "replace(r.run_id::text, '-', '')"),
    "artifact_uri": Known(
        Type.TEXT,
        "'mlflow-artifacts:/' || split_part(r.project, '/', 4) || '/' "
        "|| replace(r.run_id::text, '-', '') || '/artifacts'",
    ),
}

#: All of them.
COLUMNS: Final = FIELDS | MLFLOW

#: Those that a run may lack; the others always have a value.
NULLABLE: Final = frozenset(
    {"exit_code", "start_time", "end_time", "schedule_time", "delete_time", "duration", "wait_time"}
)

#: Fields that a run may have several of; only compared, never sorted by.
MANY: Final = ("tag", "pending", "artifact", "artifact_kind", "note", "pinned", "bookmarked")

#: Groups of named values.
GROUPS: Final = ("metrics", "params", "outputs", "tags")

#: Other names, those of Polyaxon's query language among them.
SYNONYMS: Final[dict[str, str]] = {
    "id": "run_id", "uid": "run_id", "uuid": "run_id",
    "display_name": "name", "run_name": "name",
    "user": "creator", "owner": "creator", "contributors": "creator",
    "runtime": "kind",
    "created_at": "create_time", "created": "create_time",
    "started_at": "start_time", "started": "start_time",
    "finished_at": "end_time", "finished": "end_time", "ended_at": "end_time",
    "schedule_at": "schedule_time", "deleted_at": "delete_time",
    "controller": "pipeline", "original": "origin", "cloning_kind": "origin_kind",
    "holds": "pending", "out_artifact_kind": "artifact_kind", "artifacts": "artifact",
    "metric": "metrics", "param": "params", "parameter": "params", "parameters": "params",
    "inputs": "params", "in": "params", "output": "outputs", "out": "outputs", "tag": "tags",
}  # fmt: skip

#: Aggregates of a metric; `best` becomes min or max by the direction it is asked in.
AGGREGATES: Final = ("last", "min", "max", "count", "best")


def type_of(field: Field) -> Type:
    """Return the type of a field."""
    if field.name == "metrics":
        return Type.NUMBER
    if field.name in ("params", "outputs"):
        return Type.VALUE
    if field.name in ("pinned", "bookmarked"):
        return Type.FLAG
    if field.name in COLUMNS:
        return COLUMNS[field.name].type
    return Type.TEXT


def field_named(name: str, key: str, asked: str = "filter") -> Field:
    """Return the field of a name, and of a key for a group.

    Raises:
        InvalidArgument: there is no such field; suggests one.
    """
    found = SYNONYMS.get(name, name)
    if found in GROUPS and key:
        return Field(found, key)
    if found == "tags" and not key:
        return Field("tag")
    if (found in FIELDS or found in MANY) and not key:
        return Field(found)
    shown = f"{name}.{key}" if key else name
    names = [*FIELDS, *MANY, *SYNONYMS, *GROUPS]
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if found in GROUPS:
        hint = f"name one of them: {found}.NAME"
    elif near and near != [name]:
        hint = "did you mean " + " or ".join(repr(one) for one in near) + "?"
    else:
        known = [*FIELDS, *MANY, *(f"{group}.NAME" for group in GROUPS)]
        hint = "use " + ", ".join(known)
    raise wrong(f"unknown field {shown!r}: {hint}", asked, "field")


def shown(field: Field) -> str:
    """Return a field as it is written."""
    name = f"{field.name}.{field.key}" if field.key else field.name
    return f"{field.aggregate}({name})" if field.aggregate else name


def wrong(message: str, asked: str = "filter", rule: str = "grammar") -> InvalidArgument:
    """Return the error for a filter or an order that cannot be read."""
    return InvalidArgument(message, violations=[Violation(asked, rule, message)])
