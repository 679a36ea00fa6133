"""Polyaxonfiles and their parameters to one compiled operation."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from pydantic import JsonValue

from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.spec.composing import Composer
from epochal_scheduler.spec.contexts import GLOBAL_NAMES, RunScope
from epochal_scheduler.spec.issues import MAX_ISSUES, Issue, SpecError
from epochal_scheduler.spec.library import Library
from epochal_scheduler.spec.nodes import (
    ListNode,
    MapNode,
    Path,
    Places,
    Scalar,
    node_at,
    text_at,
    to_data,
)
from epochal_scheduler.spec.preparing import Prepared
from epochal_scheduler.spec.references import JoinPlan, ParamReference
from epochal_scheduler.spec.rendering import Scanner, as_condition, templates_in
from epochal_scheduler.spec.resolving import Resolver
from epochal_scheduler.spec.schema.documents import Operation
from epochal_scheduler.spec.steps import Graph, StepPlan, references_of, step_plan
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.support import not_honoured
from epochal_scheduler.spec.values import to_json

_NO_LIBRARY = Library()


def compile_operation(
    source: bytes | Sequence[bytes],
    overrides: Mapping[str, JsonValue],
    scope: RunScope,
    library: Library = _NO_LIBRARY,
    *,
    resolved: Mapping[str, JsonValue] | None = None,
) -> CompiledOperation:
    """Compiles a polyaxonfile.

    Args:
        source: the YAML text; or several, of which the later ones are laid over the first.
        overrides: parameters given by the caller; they win over those in the files.
        scope: the run it is compiled for.
        library: what the sources refer to; see `library.collect_references`.
        resolved: values of references and joins; see `external_references`.

    Raises:
        SpecError: with every issue that could be found.
    """
    return Reading(source, library).compile(overrides, scope, resolved)


def external_references(
    source: bytes | Sequence[bytes],
    library: Library = _NO_LIBRARY,
) -> tuple[tuple[ParamReference, ...], tuple[JoinPlan, ...]]:
    """Returns what must be looked up in other runs before the operation can be compiled.

    Nothing for a schedule or trigger: each of its children looks up for itself.

    Raises:
        SpecError: the sources cannot be read.
    """
    return Reading(source, library).references()


class Reading:
    """Some files, read once: what they refer to, what they pin, and what they compile to."""

    def __init__(self, source: bytes | Sequence[bytes], library: Library = _NO_LIBRARY) -> None:
        """Reads the files; arguments as for `compile_operation`.

        Raises:
            SpecError: they cannot be read.
        """
        self._source, self._library = source, library
        self._places, issues, self._warnings = complete(source, library)
        self._prepared = Prepared(self._places, issues)

    def references(
        self, overrides: Container[str] = ()
    ) -> tuple[tuple[ParamReference, ...], tuple[JoinPlan, ...]]:
        """Returns what must be looked up in other runs; see `external_references`.

        Args:
            overrides: parameters that callers give, which need not be looked up.

        Raises:
            SpecError: a reference cannot be read.
        """
        if self._prepared.level in ("schedule", "trigger"):
            return (), ()
        found = list[Issue]()
        references, joins = references_of(self._prepared.document, self._places, found)
        if found:
            raise SpecError(found)
        return tuple(r for r in references if r.param not in overrides), joins

    def pinned(self) -> str:
        """Returns the operation with all that it refers to, its templates untouched, as JSON."""
        return to_json(to_data(self._places.root))

    def compile(
        self,
        overrides: Mapping[str, JsonValue],
        scope: RunScope,
        resolved: Mapping[str, JsonValue] | None = None,
    ) -> CompiledOperation:
        """Compiles; arguments and errors as for `compile_operation`."""
        prepared, warnings = self._prepared, self._warnings
        values = {**(resolved or {}), **overrides}
        names = prepared.rendered_presets(values, scope)
        if names != (prepared.document.presets or []):
            places, issues, warnings = complete(self._source, self._library, names)
            prepared = Prepared(places, issues)
        checker = _Checker(scope, self._library)
        checker.operation(prepared, names)
        if checker.issues:
            raise SpecError(checker.issues)
        told = tuple(dict.fromkeys((*warnings, *checker.warnings)))[:MAX_ISSUES]
        return prepared.compile(values, scope, warnings=told)


def complete(
    source: bytes | Sequence[bytes], library: Library, presets: Sequence[str] | None = None
) -> tuple[Places, list[Issue], list[Issue]]:
    """Returns the operation with all that it refers to in it, and the issues and warnings so far.

    Args:
        source: one text, or several.
        library: what they refer to.
        presets: what the names of presets with templates were found to be.

    Raises:
        SpecError: a source cannot be read, or a reference leads nowhere.
    """
    sources = [source] if isinstance(source, bytes) else list(source)
    composer = Composer(library, presets=presets)
    composed = composer.compose_files(sources)
    root = composed.root
    assert isinstance(root, MapNode), "composed"
    if "run" not in root.entries and text_at(composer.origins.roots[0], "kind") == "operation":
        message = "an operation needs a 'component' with a 'run'; add it inline"
        issue = Issue(composer.origins.roots[0].mark, "component", "missing_field", message)
        raise SpecError([*composer.issues, issue])
    resolver = Resolver(composer)
    whole = Places(resolver.resolve(root), composer.origins)
    return whole, composer.issues, resolver.warnings


def _unfilled(places: Places) -> Iterator[Issue]:
    """Yields an issue for a template whose fields are still to be filled."""
    enabled = node_at(places.root, "template", "enabled")
    if isinstance(enabled, Scalar) and enabled.value is True:
        fields = node_at(places.root, "template", "fields")
        items = fields.items if isinstance(fields, ListNode) else ()
        names = [item.text for item in items if isinstance(item, Scalar)]
        what = f"fill in {', '.join(names)}" if names else "fill in its fields"
        message = f"this is a template: {what}, then set 'enabled' to false or remove 'template'"
        yield places.issue(("template", "enabled"), "template_not_filled", message)


@dataclass(slots=True)
class _Checker:
    """Checks a whole operation, with all operations of its DAGs, before anything is run."""

    scope: RunScope
    library: Library
    issues: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)

    def operation(self, prepared: Prepared, presets: Sequence[str]) -> None:
        """Checks an operation that stands for itself; `presets` are those it asks for."""
        document, places = prepared.document, prepared.places
        self.warnings.extend(not_honoured(places, in_dag=False))
        self._parts(document, places, presets)
        references, joins = references_of(document, places, self.issues)
        self._outside(references, joins, places)

    def _step(self, prepared: Prepared) -> StepPlan:
        """Checks an operation of a DAG, and returns what it is as a step."""
        document, places = prepared.document, prepared.places
        self.warnings.extend(not_honoured(places, in_dag=True))
        names = document.presets
        self._parts(document, places, names if isinstance(names, list) else ())
        self.issues.extend(prepared.check(prepared.binder.references, self.scope))
        return step_plan(document, places, self.issues)

    def _parts(self, document: Operation, places: Places, presets: Sequence[str]) -> None:
        self.issues.extend(_unfilled(places))
        self._presets(presets, places)
        self._cache(document, places)
        self._hooks(document, places)
        if document.run.kind == "dag":
            self._dag(document, places)

    def _presets(self, names: Sequence[str], places: Places) -> None:
        for index, name in enumerate(names):
            if name not in self.library.presets:
                hint = did_you_mean(name, self.library.presets)
                message = f"no preset '{name}' is saved, so it is not applied; {hint}"
                issue = places.issue(("presets", index), "unknown_preset", message.rstrip("; "))
                self.warnings.append(issue)

    def _hooks(self, document: Operation, places: Places) -> None:
        """Checks what hooks ask of the run they belong to."""
        names = {io.name for io in (*(document.inputs or ()), *(document.outputs or ()))}
        names |= document.params.keys() if document.params is not None else set()
        names |= {name for join in document.joins or () for name in join.params or {}}
        names |= {"inputs", "outputs", "status", "condition", "params"}
        context: dict[str, JsonValue] = {
            **dict.fromkeys(names, None),
            "globals": dict.fromkeys(GLOBAL_NAMES, None),
        }
        scanner = Scanner(places)
        for index, hook in enumerate(document.hooks or ()):
            path: Path = ("hooks", index)
            pieces = [
                scanner.scan(param.value, (*path, "params", name, "value"))
                for name, param in (hook.params or {}).items()
            ]
            if hook.conditions is not None:
                pieces.append(scanner.text(as_condition(hook.conditions), (*path, "conditions")))
            for found in (found for piece in pieces for found in templates_in(piece)):
                for message in found.template.unknown_names(context):
                    self.issues.append(places.issue(found.path, "unknown_name", message))
            for name, param in (hook.params or {}).items():
                if param.ref is not None:
                    at: Path = (*path, "params", name, "ref")
                    message = "a hook refers to no run; name inputs and outputs of its own run"
                    self.issues.append(places.issue(at, "invalid_reference", message))
        self.issues.extend(scanner.issues)

    def _outside(
        self,
        references: Sequence[ParamReference],
        joins: Sequence[JoinPlan],
        places: Places,
    ) -> None:
        for reference in references:
            if reference.entity != "runs":
                path: Path = ("params", reference.param, "ref")
                message = "only an operation of a DAG refers to 'ops.' and 'dag'; use runs.UUID"
                self.issues.append(places.issue(path, "outside_dag", message))
        for index, join in enumerate(joins):
            if join.ref is not None and join.ref[0] != "runs":
                message = "only an operation of a DAG joins 'ops.' and 'dag'; use runs.UUID"
                issue = places.issue(("joins", index, "ref"), "outside_dag", message)
                self.issues.append(issue)

    def _cache(self, document: Operation, places: Places) -> None:
        names = document.cache.io if document.cache is not None else None
        known = [io.name for io in (*(document.inputs or ()), *(document.outputs or ()))]
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if name not in known:
                hint = did_you_mean(name, known)
                message = f"'{name}' is no input of the operation; {hint}".rstrip("; ")
                path: Path = ("cache", "io", index)
                self.issues.append(places.issue(path, "unknown_input", message))

    def _dag(self, document: Operation, places: Places) -> None:
        operations = node_at(places.root, "run", "operations")
        steps = list[tuple[StepPlan, Operation, Places]]()
        items = operations.items if isinstance(operations, ListNode) else ()
        for index, _ in enumerate(items):
            if len(self.issues) >= MAX_ISSUES:
                return
            inner = places.under("run", "operations", index)
            try:
                prepared = Prepared(inner)
            except SpecError as error:
                self.issues.extend(error.issues)
                continue
            steps.append((self._step(prepared), prepared.document, inner))
        if len(steps) == len(items):
            inputs = [io.name for io in document.inputs or ()]
            inputs += list(document.params or {})
            self.issues.extend(islice(Graph(steps, inputs).check(places), MAX_ISSUES))
