"""An operation made ready: all that does not change from run to run is worked out here, once.

A prepared operation compiles as often as it is run: it binds parameters, renders what has
templates, validates, and seals. Which plan comes out depends on the outermost thing it asks for,
in this order: `schedule`, `events`, `matrix`, `run`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from epochal_scheduler.spec.binding import Binder, Binding, BoundParam, Declared
from epochal_scheduler.spec.checking import not_finite, validate
from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan, ResolvedIO, seal
from epochal_scheduler.spec.contexts import RunScope, build_context, build_globals
from epochal_scheduler.spec.exporting import connection_names, with_params
from epochal_scheduler.spec.issues import Issue, SpecError
from epochal_scheduler.spec.nodes import Path, Places, to_data
from epochal_scheduler.spec.rendering import (
    Constant,
    Dynamic,
    Fields,
    Piece,
    Renderer,
    Scanner,
    templates_in,
)
from epochal_scheduler.spec.schema.base import RENDERED, has_template
from epochal_scheduler.spec.schema.documents import Document, Operation
from epochal_scheduler.spec.schema.io import JoinParam
from epochal_scheduler.spec.sweeping import check_sweep, sweep_names
from epochal_scheduler.spec.values import to_json

_UNSTORABLE = re.compile("[\ud800-\udfff]|\\\\u0000|\\\\ud[89ab][0-9a-f]{2}", re.IGNORECASE)
_SHARED = tuple(
    (name, info.alias or name)
    for name, info in Document.model_fields.items()
    if name not in ("version", "strict_params", "build", "hooks")
)
_RAW_IN_DAG = ("operations", "components")
# What a pipeline shows of itself; the rest is for its children.
_OF_PIPELINE = frozenset(
    {"name", "description", "tags", "presets", "queue", "namespace", "cost", "mount", "plugins"}
)
_OF_SWEEP = _OF_PIPELINE | {"isApproved", "approval"}
_NEEDED = frozenset({"matrix", "schedule", "events", "queue", "isApproved", "approval"})


@dataclass(frozen=True, slots=True)
class Extras:
    """What was resolved beside the document: operations of hooks, and of the tuner."""

    hooks: tuple[JsonValue, ...] = ()
    tuner: JsonValue = None

    @classmethod
    def split(cls, data: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], Extras]:
        """Returns the document without what was attached to it, and that."""
        tuner = data.get("tuner")
        kept = {key: value for key, value in data.items() if key != "tuner"}
        hooks = data.get("hooks")
        if not isinstance(hooks, list):
            return kept, cls((), tuner)
        found, bare = list[JsonValue](), list[JsonValue]()
        for hook in hooks:
            found.append(hook.get("template") if isinstance(hook, dict) else None)
            if isinstance(hook, dict):
                hook = {key: value for key, value in hook.items() if key != "template"}
            bare.append(hook)
        return {**kept, "hooks": bare}, cls(tuple(found), tuner)


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
        self.document, self._data = document, data
        declared = self._declare(issues)
        joined = _joined(document)
        self.binder = Binder(
            places, declared, document.params or {}, joined, strict=bool(document.strict_params)
        )
        self.sweep = sweep_names(document)
        self._check_sweep(issues)
        self.level = _level(document)
        scanner = Scanner(places)
        self._pieces = self._scan(scanner)
        self._condition = self._scan_condition(scanner)
        self._static = [*issues, *scanner.issues]
        if issues:
            raise SpecError([*self._static, *self.binder.issues])

    @property
    def data(self) -> dict[str, JsonValue]:
        """The operation as plain data."""
        return self._data

    def pending(self, overrides: Mapping[str, JsonValue]) -> frozenset[str]:
        """Returns the parameters whose values come after this operation was compiled."""
        later = self.sweep if self.level in ("schedule", "trigger", "matrix") else frozenset()
        if self.level in ("schedule", "trigger"):
            later |= self.binder.references
        return later - overrides.keys()

    def check(self, pending: frozenset[str], scope: RunScope) -> list[Issue]:
        """Returns what is wrong already, while these parameters have no value yet."""
        globals_ = build_globals(scope, self._name())
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
        globals_ = build_globals(scope, self._name())
        binding = self.binder.bind(overrides, globals_, self.pending(overrides))
        _raise_if_any([*self._static, *binding.issues])
        renderer = Renderer(self.places, self._context(globals_, binding.params, scope))
        if self.level == "run":
            fields = self._run_fields(renderer, binding)
        else:
            if not is_checked:
                _raise_if_any(self._unknown_names(renderer.context))
            fields = self._pipeline_fields(renderer, binding, overrides)
        _raise_if_any(renderer.issues)
        fields["io"] = [_resolve(param) for param in binding.params.values()]
        _raise_if_any(self._forbidden(fields))
        plan, issues = validate(OperationPlan, fields, self.places, context=RENDERED)
        _raise_if_any(issues)
        assert plan is not None, "no issues"
        told = (*binding.warnings, *warnings, *self._nothing_to_run(plan))
        values = {n: p.value for n, p in binding.params.items() if p.value is not None}
        return seal(plan, values, told)

    def _name(self) -> str:
        name = self.document.name
        return name if isinstance(name, str) else ""

    def _context(
        self,
        globals_: Mapping[str, JsonValue],
        params: Mapping[str, BoundParam],
        scope: RunScope,
    ) -> dict[str, JsonValue]:
        known: dict[str, JsonValue] = {
            name: {"name": name} for name in connection_names(self._data.get("run"))
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
            alias: scanner.scan(self._data[alias], (alias,))
            for _, alias in (*_SHARED, ("", "matrix"), ("", "schedule"), ("", "events"))
            if alias in self._data
        }
        run = self._data["run"]
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
        text = condition if has_template(condition) else "{{ " + condition + " }}"
        return scanner.text(text, ("conditions",))

    def _unknown_names(self, context: Mapping[str, JsonValue]) -> list[Issue]:
        pieces = [*self._pieces.values(), *([self._condition] if self._condition else [])]
        return [
            self.places.issue(found.path, "unknown_name", message)
            for piece in pieces
            for found in templates_in(piece)
            for message in found.template.unknown_names(context)
        ]

    def _run_fields(self, renderer: Renderer, binding: Binding) -> dict[str, JsonValue]:
        fields = {
            alias: renderer.render(self._pieces[alias])
            for _, alias in _SHARED
            if alias in self._pieces
        }
        if "build" in self._data:
            fields["build"] = self._data["build"]
        if self.document.hooks:
            fields["hooks"] = self._planned_hooks()
        if "joins" in self._data:
            fields["joins"] = self._data["joins"]
        run = renderer.render(self._pieces["run"])
        if isinstance(run, dict):
            if self.document.run.kind == "dag":
                run = {key: value for key, value in run.items() if key != "components"}
            fields["run"] = with_params(run, binding.params)
        if self._condition is not None:
            fields["isSkipped"] = not renderer.holds(self._condition)
        return fields

    def _planned_hooks(self) -> list[JsonValue]:
        hooks = self._data["hooks"]
        assert isinstance(hooks, list), "validated"
        made = list[JsonValue]()
        for index, hook in enumerate(hooks):
            template = self.extras.hooks[index] if index < len(self.extras.hooks) else None
            if isinstance(hook, dict) and template is not None:
                hook = {**hook, "template": template}
            made.append(hook)
        return made

    def _pipeline_fields(
        self, renderer: Renderer, binding: Binding, overrides: Mapping[str, JsonValue]
    ) -> dict[str, JsonValue]:
        later = {name for name, param in binding.params.items() if param.is_pending}
        is_sweep = self.level == "matrix"
        section = {"schedule": "schedule", "trigger": "events", "matrix": "matrix"}[self.level]
        wanted = (_OF_SWEEP if is_sweep else _OF_PIPELINE) | {section}
        fields = dict[str, JsonValue]()
        for alias, piece in self._pieces.items():
            if alias not in wanted:
                continue
            needed = [t for t in templates_in(piece) if t.template.needs(later)]
            if not needed:
                fields[alias] = renderer.render(piece)
            elif alias in _NEEDED:
                names = ", ".join(sorted(needed[0].template.needs(later)))
                message = f"'{alias}' is needed before '{names}' has a value"
                renderer.issues.append(self.places.issue(needed[0].path, "too_early", message))
        gone = {section, "version"}
        if is_sweep:
            gone |= {"hooks", "isApproved", "approval", "joins", "dependencies", "trigger"}
            if self.document.hooks:
                fields["hooks"] = self._planned_hooks()
            if self.extras.tuner is not None:
                fields["tuner"] = self.extras.tuner
            condition = self._condition
            if condition is not None and not (
                isinstance(condition, Dynamic) and condition.template.needs(later)
            ):
                fields["isSkipped"] = not renderer.holds(condition)
                gone.add("conditions")
        fields["template"] = self._template(gone, is_sweep)
        if overrides:
            fields["given"] = dict(overrides)
        return fields

    def _template(self, gone: set[str], is_sweep: bool) -> JsonValue:
        """Returns the operation of the children; hooks keep what they were resolved to."""
        kept = {key: value for key, value in self._data.items() if key not in gone}
        if is_sweep and self.document.joins:
            kept["params"] = self._with_joined(kept.get("params"))
        if not is_sweep and self.document.hooks and any(self.extras.hooks):
            kept["hooks"] = self._planned_hooks()
        if not is_sweep and self.extras.tuner is not None:
            kept["tuner"] = self.extras.tuner
        return kept

    def _with_joined(self, params: JsonValue) -> JsonValue:
        """Returns parameters with those that joins fed: their values are given by now."""
        made = dict(params) if isinstance(params, dict) else {}
        for join in self.document.joins or ():
            for name, param in (join.params or {}).items():
                said = param.model_dump(by_alias=True, exclude_none=True, exclude={"value"})
                made.setdefault(name, said)
        return made

    def _forbidden(self, fields: dict[str, JsonValue]) -> list[Issue]:
        """Returns an issue for each text with U+0000 or half a surrogate pair.

        Quotes, templates and callers can write such; no database keeps them.
        """
        if not _UNSTORABLE.search(to_json(fields)):
            return []
        return list(_unstorable(self.places, fields, ()))

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
        is_optional=about.is_optional if about is not None and not param.is_input else None,
        validation=about.validation if about is not None and not param.is_input else None,
    )
    resolved: dict[str, JsonValue] = io.model_dump(mode="json", by_alias=True, exclude_none=True)
    return resolved


def _unstorable(places: Places, value: JsonValue, path: Path) -> list[Issue]:
    if isinstance(value, dict):
        return [
            issue
            for key, inner in value.items()
            for issue in (
                *_unstorable(places, key, path),
                *_unstorable(places, inner, (*path, key)),
            )
        ]
    if isinstance(value, list):
        pairs = enumerate(value)
        return [issue for i, inner in pairs for issue in _unstorable(places, inner, (*path, i))]
    if not isinstance(value, str) or not any(
        char == "\x00" or "\ud800" <= char <= "\udfff" for char in value
    ):
        return []
    message = "the character U+0000, or half a surrogate pair, cannot be kept; remove it"
    return [places.issue(path, "forbidden_character", message)]
