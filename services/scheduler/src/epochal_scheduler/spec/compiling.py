"""A polyaxonfile and its parameters to one compiled operation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from epochal_scheduler.spec.binding import Binder, BoundParam, Declared
from epochal_scheduler.spec.checking import Path, validate
from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan, ResolvedIO, seal
from epochal_scheduler.spec.contexts import RunScope, build_context, build_globals
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.issues import Issue, SpecError, dotted
from epochal_scheduler.spec.nodes import MapNode, Scalar, locate, to_data
from epochal_scheduler.spec.rendering import Renderer
from epochal_scheduler.spec.schema.base import RENDERED
from epochal_scheduler.spec.schema.documents import Component, Document, Operation
from epochal_scheduler.spec.schema.io import IO, Param
from epochal_scheduler.spec.shortcuts import expand_shortcuts
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.support import DOCUMENT_KINDS, not_honoured, refusals

_INHERITED = sorted(Document.model_fields.keys() - {"version", "strict_params", "template"})


def compile_operation(
    source: bytes, overrides: Mapping[str, JsonValue], scope: RunScope
) -> CompiledOperation:
    """Compiles a polyaxonfile.

    Args:
        source: the YAML text.
        overrides: parameters given by the caller; they win over those in the file.
        scope: the run it is compiled for.

    Raises:
        SpecError: with every issue that could be found.
    """
    root, issues = expand_shortcuts(parse_document(source))
    document = _read(root, issues)
    component = document if isinstance(document, Component) else document.component
    if component is None:
        mark = root.mark
        message = "an operation needs a 'component' with a 'run'; add it inline"
        raise SpecError([*issues, Issue(mark, "component", "missing_field", message)])
    at: Path = () if component is document else ("component",)
    merged = _merge(document, component)
    name = merged["name"] if isinstance(merged.get("name"), str) else None
    known_globals = build_globals(scope, str(name or ""))
    declared = _declare(component, at, root, issues)
    binder = Binder(root, declared, known_globals, issues)
    params = dict[str, Param]()
    if isinstance(document, Operation) and document.params is not None:
        params = document.params
    strict = bool(document.strict_params or component.strict_params)
    bound = binder.bind(params, overrides, strict=strict)
    _raise_if_any(issues)
    warnings = (*binder.warnings, *not_honoured(root))
    return _finish(_Parts(root, at, document, merged, bound, known_globals), warnings)


def _read(root: MapNode, issues: list[Issue]) -> Component | Operation:
    """Validates the root by its kind; raises all issues of structure and support at once."""
    kind = root.entries["kind"]
    if not isinstance(kind, Scalar) or kind.value not in DOCUMENT_KINDS:
        shown = kind.text if isinstance(kind, Scalar) else "a collection"
        hint = did_you_mean(shown, DOCUMENT_KINDS)
        message = f"no kind '{shown}'; {hint}"
        raise SpecError([*issues, Issue(root.marks["kind"], "kind", "unknown_kind", message)])
    issues.extend(refusals(root))
    refused = [issue.field.removesuffix(".kind") for issue in issues]
    runs = {field for field in refused if field in ("run", "component.run")}

    not_finite = _not_finite(root, ())
    told = {issue.field for issue in not_finite}

    def ignore(path: Path) -> bool:
        field = dotted(path)
        return field in told or any(field == run or field.startswith(run + ".") for run in runs)

    issues.extend(not_finite)
    document: Component | Operation | None
    if kind.value == "component":
        document, found = validate(Component, to_data(root), root, ignore=ignore)
    else:
        document, found = validate(Operation, to_data(root), root, ignore=ignore)
    issues.extend(found)
    if issues or document is None:
        raise SpecError(issues)
    return document


def _not_finite(node: object, path: Path) -> list[Issue]:
    """Returns an issue for each `.nan` or `.inf` outside of values: JSON has no such numbers."""
    if isinstance(node, Scalar) and isinstance(node.value, float) and not math.isfinite(node.value):
        message = f"'{node.text}' is not a finite number; for a float input, put it in quotes"
        return [Issue(node.mark, dotted(path), "not_finite", message)]
    if isinstance(node, MapNode):
        return [i for key, inner in node.entries.items() for i in _not_finite(inner, (*path, key))]
    items = getattr(node, "items", ())
    return [i for index, inner in enumerate(items) for i in _not_finite(inner, (*path, index))]


def _merge(document: Component | Operation, component: Component) -> dict[str, JsonValue]:
    """Returns the fields both kinds have; the operation's win over the component's."""
    inner = component.model_dump(by_alias=False, exclude_none=True, warnings=False)
    outer = document.model_dump(by_alias=False, exclude_none=True, warnings=False)
    merged = {name: inner[name] for name in _INHERITED if name in inner}
    merged |= {name: outer[name] for name in _INHERITED if name in outer}
    return merged


def _declare(
    component: Component, at: Path, root: MapNode, issues: list[Issue]
) -> dict[str, Declared]:
    declared = dict[str, Declared]()
    sections: tuple[tuple[str, list[IO] | None], ...] = (
        ("inputs", component.inputs),
        ("outputs", component.outputs),
    )
    for section, ios in sections:
        for index, io in enumerate(ios or ()):
            path: Path = (*at, section, index)
            if io.name in declared:
                message = f"'{io.name}' is declared twice; names of inputs and outputs are unique"
                mark = locate(root, path)[0]
                issues.append(Issue(mark, dotted((*path, "name")), "duplicate_name", message))
            else:
                declared[io.name] = Declared(io, path, section == "inputs")
    return declared


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is left to put together once parameters are bound."""

    root: MapNode
    at: Path
    document: Component | Operation
    merged: dict[str, JsonValue]
    bound: Mapping[str, BoundParam]
    globals_: Mapping[str, JsonValue]


def _finish(parts: _Parts, warnings: tuple[Issue, ...]) -> CompiledOperation:
    renderer = Renderer(parts.root, build_context(parts.globals_, parts.bound))
    component = parts.document
    if isinstance(component, Operation):
        assert component.component is not None, "checked before"
        component = component.component
    run = component.run.model_dump(by_alias=True, exclude_none=True, warnings=False)
    fields = {
        name: renderer.render(value, (name,) if name in parts.root.entries else (*parts.at, name))
        for name, value in parts.merged.items()
        if name not in ("build", "hooks")
    }
    fields |= {name: parts.merged[name] for name in ("build", "hooks") if name in parts.merged}
    fields["run"] = renderer.render(run, (*parts.at, "run"))
    if isinstance(parts.document, Operation) and parts.document.conditions is not None:
        fields["is_skipped"] = not renderer.holds(parts.document.conditions, ("conditions",))
    _raise_if_any(renderer.issues)
    fields["io"] = [_resolve(param) for param in parts.bound.values()]
    _raise_if_any(_forbidden(parts, fields, ()))
    plan = _validate_plan(_with_env(fields, parts.bound), parts)
    params = {name: param.value for name, param in parts.bound.items() if param.value is not None}
    return seal(plan, params, warnings + tuple(_nothing_to_run(plan, parts)))


def _forbidden(parts: _Parts, value: JsonValue, path: Path) -> list[Issue]:
    """Returns an issue for each text with U+0000 or half a surrogate pair.

    Quotes, templates and callers can write such; no database keeps them.
    """
    if isinstance(value, dict):
        return [
            issue
            for key, inner in value.items()
            for issue in (*_forbidden(parts, key, path), *_forbidden(parts, inner, (*path, key)))
        ]
    if isinstance(value, list):
        pairs = enumerate(value)
        return [issue for i, inner in pairs for issue in _forbidden(parts, inner, (*path, i))]
    if not isinstance(value, str) or not any(
        char == "\x00" or "\ud800" <= char <= "\udfff" for char in value
    ):
        return []
    where = (*parts.at, *path) if path[:1] == ("run",) else path
    message = "the character U+0000, or half a surrogate pair, cannot be kept; remove it"
    mark = locate(parts.root, where)[0]
    return [Issue(mark, dotted(where), "forbidden_character", message)]


def _resolve(param: BoundParam) -> JsonValue:
    io = ResolvedIO(
        name=param.name,
        type=str(param.kind),
        value=param.value,
        to_env=param.to_env,
        is_input=param.is_input,
    )
    resolved: dict[str, JsonValue] = io.model_dump(by_alias=True, exclude_none=True)
    return resolved


def _with_env(
    fields: dict[str, JsonValue], bound: Mapping[str, BoundParam]
) -> dict[str, JsonValue]:
    """Returns the fields with `toEnv` parameters before the container's own variables."""
    exported: list[JsonValue] = [
        {"name": param.to_env, "value": param.env_text()}
        for param in bound.values()
        if param.to_env and param.value is not None
    ]
    run = fields["run"]
    if exported and isinstance(run, dict) and isinstance(container := run["container"], dict):
        own = container.get("env", [])
        assert isinstance(own, list), "validated before"
        run = run | {"container": container | {"env": exported + own}}
    return fields | {"run": run}


def _validate_plan(fields: dict[str, JsonValue], parts: _Parts) -> OperationPlan:
    """Validates once more, now that templates are values."""
    plan, issues = validate(OperationPlan, fields, parts.root, context=RENDERED)
    _raise_if_any(issues)
    assert plan is not None, "no issues"
    return plan


def _nothing_to_run(plan: OperationPlan, parts: _Parts) -> list[Issue]:
    container = plan.run.container
    if container.command or container.args:
        return []
    path: Path = (*parts.at, "run", "container")
    mark, message = locate(parts.root, path)[0], "there is no command; a local agent needs one"
    issue = Issue(mark, dotted((*path, "command")), "missing_command", message)
    if container.image is None:
        raise SpecError([issue])
    return [issue]


def _raise_if_any(issues: list[Issue]) -> None:
    if issues:
        raise SpecError(issues)
