"""An operation made ready: all that does not change from run to run is worked out here, once.

A prepared operation compiles as often as it is run: it binds parameters, renders what has
templates, validates, and seals. Which plan comes out depends on the outermost thing it asks for,
in this order: `schedule`, `events`, `matrix`, `run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from pydantic import JsonValue

from epochal_scheduler.spec.attaching import Extras
from epochal_scheduler.spec.binding import Binder, Binding
from epochal_scheduler.spec.checking import not_finite, validate
from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan, ResolvedIO, seal
from epochal_scheduler.spec.contexts import RunScope, build_context, build_globals
from epochal_scheduler.spec.exporting import connection_names, with_params
from epochal_scheduler.spec.issues import MAX_ISSUES, Issue, SpecError
from epochal_scheduler.spec.nodes import Path, Places, to_data
from epochal_scheduler.spec.params import BoundParam, Declared
from epochal_scheduler.spec.pipelines import pipeline_fields
from epochal_scheduler.spec.rendering import (
    Constant,
    Fields,
    Piece,
    Renderer,
    Scanner,
    as_condition,
    templates_in,
)
from epochal_scheduler.spec.schema.base import RENDERED
from epochal_scheduler.spec.schema.documents import Document, Operation
from epochal_scheduler.spec.schema.io import JoinParam
from epochal_scheduler.spec.storing import unstorable
from epochal_scheduler.spec.sweeping import check_sweep, sweep_names

_SHARED = tuple(
    (name, info.alias or name)
    for name, info in Document.model_fields.items()
    if name not in ("version", "strict_params", "build", "hooks")
)
_RAW_IN_DAG = ("operations", "components")


class Prepared:
    """An operation that can be compiled any number of times."""

    def __init__(self, places: Places, issues: Sequence[Issue] = ()) -> None:
        """Validates and prepares.

        Args:
            places: a composed operation, with its hooks and tuner resolved.
            issues: what is known to be wrong already.

        Raises:
            SpecError: with every issue of structure, the given ones among them.
        """
        self.places = places
        found = not_finite(places)
        told = {issue.field for issue in found}
        whole = to_data(places.root)
        assert isinstance(whole, dict), "composed"
        data, self.extras = Extras.split(whole)
        document, wrong = validate(Operation, data, places, ignore=lambda field: field in told)
        issues = [*issues, *found, *wrong]
        if issues or document is None:
            raise SpecError(issues)
        self.document, self.data = document, data
        declared = self._declare(issues)
        joined = _joined(document)
        self.binder = Binder(
            places, declared, document.params or {}, joined, strict=bool(document.strict_params)
        )
        self.sweep = sweep_names(document)
        self._check_sweep(issues)
        self.level = _level(document)
        scanner = Scanner(places)
        self.pieces = self._scan(scanner)
        self.condition = self._scan_condition(scanner)
        self._static = [*issues, *scanner.issues]
        if issues:
            raise SpecError([*self._static, *self.binder.issues])

    def pending(self, overrides: Mapping[str, JsonValue]) -> frozenset[str]:
        """Returns the parameters whose values come after this operation was compiled."""
        later = self.sweep if self.level in ("schedule", "trigger", "matrix") else frozenset()
        if self.level in ("schedule", "trigger"):
            later |= self.binder.references
        return later - overrides.keys()

    def rendered_presets(self, overrides: Mapping[str, JsonValue], scope: RunScope) -> list[str]:
        """Returns the names of presets, with their templates filled in as far as they can be."""
        names = self.document.presets
        if not isinstance(names, list) or not any("{{" in name for name in names):
            return names if isinstance(names, list) else []
        globals_ = self._globals(scope)
        binding = self.binder.bind(overrides, globals_, self.pending(overrides))
        renderer = Renderer(self.places, self._context(globals_, binding.params, scope))
        rendered = renderer.render(self.pieces["presets"])
        return [str(name) for name in rendered] if isinstance(rendered, list) else []

    def check(self, pending: frozenset[str], scope: RunScope) -> list[Issue]:
        """Returns what is wrong already, while these parameters have no value yet."""
        globals_ = self._globals(scope)
        binding = self.binder.bind({}, globals_, pending | self.sweep)
        context = self._context(globals_, binding.params, scope)
        return [*self._static, *binding.issues, *self._unknown_names(context)]

    def compile(
        self,
        overrides: Mapping[str, JsonValue],
        scope: RunScope,
        *,
        is_checked: bool = False,
        warnings: tuple[Issue, ...] = (),
    ) -> CompiledOperation:
        """Compiles for one run.

        Args:
            overrides: values that win over those of the file; data, never templates.
            scope: the run it is compiled for.
            is_checked: the parts for children were checked before.
            warnings: what is to be told beside what is found here.

        Raises:
            SpecError: with every issue that could be found.
        """
        globals_ = self._globals(scope)
        binding = self.binder.bind(overrides, globals_, self.pending(overrides))
        _raise_if_any([*self._static, *binding.issues])
        renderer = Renderer(self.places, self._context(globals_, binding.params, scope))
        if self.level == "run":
            fields = self._run_fields(renderer, binding)
        else:
            if not is_checked:
                _raise_if_any(self._unknown_names(renderer.context))
            fields = pipeline_fields(self, renderer, binding, overrides)
        _raise_if_any(renderer.issues)
        fields["io"] = [_resolve(param) for param in binding.params.values()]
        _raise_if_any(unstorable(self.places, fields))
        plan, issues = validate(OperationPlan, fields, self.places, context=RENDERED)
        _raise_if_any(issues)
        assert plan is not None, "no issues"
        told = (*binding.warnings, *warnings, *self._nothing_to_run(plan))
        values = {n: p.value for n, p in binding.params.items() if p.value is not None}
        return seal(plan, values, told)

    def _globals(self, scope: RunScope) -> dict[str, JsonValue]:
        known = build_globals(scope, self.document.name or "")
        ports = getattr(self.document.run, "ports", None)
        if not scope.ports and isinstance(ports, list):
            known["ports"] = [*ports]
        return known

    def _context(
        self,
        globals_: Mapping[str, JsonValue],
        params: Mapping[str, BoundParam],
        scope: RunScope,
    ) -> dict[str, JsonValue]:
        known: dict[str, JsonValue] = {
            name: {"name": name} for name in connection_names(self.data.get("run"))
        }
        return build_context(globals_, params, {**known, **scope.connections})

    def _declare(self, issues: list[Issue]) -> dict[str, Declared]:
        declared = dict[str, Declared]()
        for section in ("inputs", "outputs"):
            for index, io in enumerate(getattr(self.document, section) or ()):
                path: Path = (section, index)
                if io.name in declared:
                    message = f"'{io.name}' is declared twice; names of inputs and outputs differ"
                    issues.append(self.places.issue((*path, "name"), "duplicate_name", message))
                else:
                    declared[io.name] = Declared(io, path, section == "inputs")
        return declared

    def _check_sweep(self, issues: list[Issue]) -> None:
        if self.document.matrix is not None:
            issues.extend(check_sweep(self.document, self.binder, self.places))

    def _scan(self, scanner: Scanner) -> dict[str, Piece]:
        pieces = {
            alias: scanner.scan(self.data[alias], (alias,))
            for _, alias in (*_SHARED, ("", "matrix"), ("", "schedule"), ("", "events"))
            if alias in self.data
        }
        run = self.data["run"]
        assert isinstance(run, dict), "validated"
        raw = {key: run[key] for key in _RAW_IN_DAG if key in run and run["kind"] == "dag"}
        piece = scanner.scan({k: v for k, v in run.items() if k not in raw}, ("run",))
        if raw:
            fields = (
                dict(piece.fields)
                if isinstance(piece, Fields)
                else {key: Constant(run[key]) for key in run if key not in raw}
            )
            piece = Fields({**fields, **{key: Constant(value) for key, value in raw.items()}})
        pieces["run"] = piece
        return pieces

    def _scan_condition(self, scanner: Scanner) -> Piece | None:
        condition = self.document.conditions
        if condition is None:
            return None
        return scanner.text(as_condition(condition), ("conditions",))

    def _unknown_names(self, context: Mapping[str, JsonValue]) -> list[Issue]:
        pieces = [*self.pieces.values(), *([self.condition] if self.condition else [])]
        issues = (
            self.places.issue(found.path, "unknown_name", message)
            for piece in pieces
            for found in templates_in(piece)
            for message in found.template.unknown_names(context)
        )
        return list(islice(issues, MAX_ISSUES))

    def _run_fields(self, renderer: Renderer, binding: Binding) -> dict[str, JsonValue]:
        fields = {
            alias: renderer.render(self.pieces[alias])
            for _, alias in _SHARED
            if alias in self.pieces
        }
        if "build" in self.data:
            fields["build"] = self.data["build"]
        if self.document.hooks:
            fields["hooks"] = self.extras.hooks_with_templates(self.data["hooks"])
        if "joins" in self.data:
            fields["joins"] = self.data["joins"]
        run = renderer.render(self.pieces["run"])
        if isinstance(run, dict):
            if self.document.run.kind == "dag":
                run = {key: value for key, value in run.items() if key != "components"}
            fields["run"] = with_params(run, binding.params)
        if self.condition is not None:
            fields["isSkipped"] = not renderer.holds(self.condition)
        return fields

    def _nothing_to_run(self, plan: OperationPlan) -> list[Issue]:
        container = plan.container
        if container is None or container.command or container.args:
            return []
        if plan.runtime not in ("job", "service"):
            return []
        message = "there is no command; a local agent needs one"
        issue = self.places.issue(("run", "container", "command"), "missing_command", message)
        if container.image is None:
            raise SpecError([issue])
        return [issue]


def _raise_if_any(issues: list[Issue]) -> None:
    if issues:
        raise SpecError(issues)


def _level(document: Operation) -> str:
    if document.schedule is not None:
        return "schedule"
    if document.events is not None:
        return "trigger"
    return "matrix" if document.matrix is not None else "run"


def _joined(document: Operation) -> dict[str, tuple[JoinParam, Path]]:
    return {
        name: (param, ("joins", index, "params", name))
        for index, join in enumerate(document.joins or ())
        for name, param in (join.params or {}).items()
    }


def _resolve(param: BoundParam) -> JsonValue:
    about = param.declared
    io = ResolvedIO(
        name=param.name,
        type=str(param.kind),
        value=param.value,
        to_env=param.to_env,
        is_input=param.is_input,
        is_context=None if about is not None or param.is_pending else True,
        is_optional=about.is_optional if about is not None and not param.is_input else None,
        validation=about.validation if about is not None and not param.is_input else None,
    )
    resolved: dict[str, JsonValue] = io.model_dump(mode="json", by_alias=True, exclude_none=True)
    return resolved
