"""References to other runs: `ref` with a `value` that is a path, and joins.

A path begins with a section of the run that is referred to: `globals`, `inputs`, `outputs`,
`artifacts`, or `io` (inputs and outputs together).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue

from epochal_scheduler.spec.issues import NOWHERE, Issue, SpecError
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.schema.io import Join, Param
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.values import to_json

SECTIONS = ("globals", "inputs", "outputs", "artifacts", "io")


@dataclass(frozen=True, slots=True)
class ParamReference:
    """A parameter whose value comes from another run.

    Attributes:
        param: name of the parameter.
        entity: `ops`, `runs` or `dag`.
        name: name of the step, or id of the run; "" for the DAG.
        path: such as ("outputs", "loss"); a selection of files and folders is ("artifacts", JSON
            of `{files: [...], dirs: [...]}`).
    """

    param: str
    entity: str
    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """A query over runs, and what each run found gives the list parameters.

    `ref` narrows it to the children of a step or run, as (entity, name). Query, sort, limit and
    offset may hold templates; `children.render_join` fills them in.
    """

    query: str
    sort: str
    limit: int | str
    offset: int | str
    params: Mapping[str, tuple[str, ...]]
    ref: tuple[str, str] | None = None


class ReferenceIssue(ValueError):
    """A reference cannot be read; `field` says whether `ref` or `value` is wrong."""

    rule = "invalid_reference"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def parse_entity(ref: str) -> tuple[str, str]:
    """Returns entity and name of a `ref`: `ops.NAME`, `runs.UUID` or `dag`.

    Raises:
        ReferenceIssue: it is none of these.
    """
    entity, _, name = ref.partition(".")
    if ref == "dag":
        return "dag", ""
    if entity == "ops" and name:
        return "ops", name
    if entity == "runs":
        try:
            return "runs", str(UUID(name))
        except ValueError:
            message = f"'{ref}' is no reference to a run: 'runs.' is followed by its UUID"
            raise ReferenceIssue("ref", message) from None
    message = f"'{ref}' is no reference; write ops.NAME, runs.UUID or dag"
    raise ReferenceIssue("ref", message)


def parse_path(value: JsonValue) -> tuple[str, ...]:
    """Returns the path of the `value` of a reference.

    Raises:
        ReferenceIssue: it is neither a path nor `{files, dirs}`.
    """
    if isinstance(value, dict):
        if not value or value.keys() - {"files", "dirs", "workers"}:
            message = "a selection of artifacts has 'files' and 'dirs' only"
            raise ReferenceIssue("value", message)
        return "artifacts", to_json(value)
    if not isinstance(value, str) or not value.strip():
        message = "a reference needs a 'value' such as outputs.loss"
        raise ReferenceIssue("value", message)
    text = value.strip()
    if text.startswith("{{") and text.endswith("}}"):
        text = text[2:-2].strip()
    parts = tuple(part.strip() for part in text.split("."))
    # An artifact's name may have dots of its own, such as model.onnx.
    if parts[0] == "artifacts" and len(parts) > 2:
        parts = ("artifacts", ".".join(parts[1:]))
    if parts[0] not in SECTIONS or not all(parts) or len(parts) > 2 or has_template(text):
        hint = did_you_mean(parts[0], SECTIONS)
        why = hint if parts[0] not in SECTIONS else "write section.name"
        raise ReferenceIssue("value", f"'{value}' is no path of a run; {why}")
    return parts


def param_reference(name: str, param: Param) -> ParamReference:
    """Returns what a parameter refers to.

    Raises:
        ReferenceIssue: `ref` or `value` cannot be read.
    """
    assert param.ref is not None, "only references are read"
    entity, target = parse_entity(param.ref)
    path = parse_path(param.value)
    if entity == "dag" and path[0] in ("outputs", "io"):
        message = "the outputs of the DAG itself are not known while its operations run"
        raise ReferenceIssue("value", message)
    return ParamReference(name, entity, target, path)


def join_plan(join: Join) -> JoinPlan:
    """Returns what a join asks for.

    Raises:
        ReferenceIssue: a path or the `ref` cannot be read.
    """
    ref = parse_entity(join.ref) if join.ref is not None else None
    return JoinPlan(
        query=join.query,
        sort=join.sort or "",
        limit=0 if join.limit is None else join.limit,
        offset=0 if join.offset is None else join.offset,
        params={name: parse_path(param.value) for name, param in (join.params or {}).items()},
        ref=ref,
    )


def resolve_reference(path: tuple[str, ...], view: Mapping[str, JsonValue]) -> JsonValue:
    """Returns the value that a path names in a run.

    Args:
        path: as in `ParamReference`.
        view: sections `globals`, `inputs`, `outputs` and `artifacts` of the run; the last has
            `base` and `outputs`, and the place of each artifact by its name. A selection of files
            and folders is given back with the base before each of them.

    Raises:
        SpecError: there is no such value; with the nearest name that there is.
    """
    section, *rest = path
    if section == "artifacts" and rest and rest[0].startswith("{"):
        return _select(view, json.loads(rest[0]))
    found = _section(section, view)
    for name in rest:
        if not isinstance(found, dict) or name not in found:
            known = list(found) if isinstance(found, dict) else []
            hint = did_you_mean(name, known)
            message = f"the run has no {'.'.join(path)}; {hint}".rstrip("; ")
            raise SpecError([Issue(NOWHERE, "", "unresolved_reference", message)])
        found = found[name]
    return found


def _section(name: str, view: Mapping[str, JsonValue]) -> JsonValue:
    if name == "io":
        inputs, outputs = view.get("inputs"), view.get("outputs")
        both = dict[str, JsonValue]()
        for part in (inputs, outputs):
            if isinstance(part, dict):
                both |= part
        return both
    if name not in view:
        hint = did_you_mean(name, view)
        message = f"the run has no section '{name}'; {hint}".rstrip("; ")
        raise SpecError([Issue(NOWHERE, "", "unresolved_reference", message)])
    return view[name]


def _select(view: Mapping[str, JsonValue], selection: Mapping[str, JsonValue]) -> JsonValue:
    base = resolve_reference(("artifacts", "base"), view)
    made = dict[str, JsonValue]()
    for key, entries in selection.items():
        if isinstance(entries, list):
            made[key] = [_based(base, entry) for entry in entries]
        else:
            made[key] = entries
    return made


def _based(base: JsonValue, entry: JsonValue) -> JsonValue:
    if isinstance(entry, list) and entry:
        return [_based(base, entry[0]), *entry[1:]]
    return f"{base}/{entry}"
