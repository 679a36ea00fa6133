"""Values for inputs and outputs: who gives them, in which order they render, whether they fit.

What does not change from run to run is worked out once (`Binder`): declarations, types, parsed
templates. A sweep binds ten thousand times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pydantic import JsonValue

from epochal_scheduler.spec.iotypes import IOType, coerce, parse_type
from epochal_scheduler.spec.issues import MAX_ISSUES, NOWHERE, Issue, dotted
from epochal_scheduler.spec.nodes import Path, Places, trace
from epochal_scheduler.spec.params import ANY_TYPE, BoundParam, Declared, rules_of
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.schema.io import JoinParam, Param
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.templates import Template, TemplateIssue, template_of
from epochal_scheduler.spec.validations import broken_rules
from epochal_scheduler.spec.values import as_text, finite

MAX_TEMPLATES = 1_000
RESERVED_NAMES = ("globals", "params", "connections")


@dataclass(slots=True)
class _Given:
    """A value before it is rendered, and where it stands."""

    value: JsonValue
    path: Path
    param: Param | JoinParam | None
    is_reference: bool = False
    is_data: bool = False
    templates: tuple[Template, ...] = ()


@dataclass(slots=True)
class Binding:
    """What came of binding once."""

    params: dict[str, BoundParam]
    issues: list[Issue]
    warnings: list[Issue]


class Binder:
    """Binds the parameters of one operation, as often as it is run."""

    def __init__(
        self,
        places: Places,
        declared: Mapping[str, Declared],
        params: Mapping[str, Param],
        joined: Mapping[str, tuple[JoinParam, Path]],
        *,
        strict: bool,
    ) -> None:
        """Prepares.

        Args:
            places: where everything stands.
            declared: inputs and outputs by name.
            params: as the operation gives them.
            joined: parameters that joins feed.
            strict: whether a parameter that is not declared is an error (`strictParams`).
        """
        self.issues = list[Issue]()
        self.warnings = list[Issue]()
        self._places, self._strict = places, strict
        self.declared = {name: self._typed(io) for name, io in declared.items()}
        self._templates = 0
        self._given = dict[str, _Given]()
        self._check_undeclared({**params, **{name: param for name, (param, _) in joined.items()}})
        for name, about in self.declared.items():
            if about.io.value is not None:
                self._given[name] = self._parsed(about.io.value, (*about.path, "value"), None)
        for name, param in params.items():
            path: Path = ("params", name)
            if param.ref is not None:
                self._given[name] = _Given(None, path, param, is_reference=True)
            elif param.value is None and name in self._given:
                self._given[name].param = param  # it says how, the default says what
            else:
                self._given[name] = self._parsed(param.value, path, param)
        for name, (join, path) in joined.items():
            self._given[name] = _Given(None, path, join, is_reference=True)
        self._orders = dict[frozenset[str], list[str]]()

    @property
    def references(self) -> frozenset[str]:
        """Names of the parameters whose values come from other runs."""
        return frozenset(name for name, given in self._given.items() if given.is_reference)

    def bind(
        self,
        overrides: Mapping[str, JsonValue],
        globals_: Mapping[str, JsonValue],
        pending: frozenset[str] = frozenset(),
    ) -> Binding:
        """Returns the bound parameters by name.

        Args:
            overrides: as the caller gives them; they win, and are data, not templates.
            globals_: the section `globals` of templates.
            pending: parameters whose values come later; what needs them comes later too.
        """
        work = Binding({}, list(self.issues), list(self.warnings))
        self._check_overrides(overrides, work)
        given = self._all_given(overrides, pending, work)
        bound = dict[str, BoundParam]()
        later = set(pending)
        for name in self._in_order(given, frozenset(overrides), work):
            source = given[name]
            needed = {n for t in source.templates for n in t.needs(given)}
            if name in pending or needed & later or source.is_reference:
                later.add(name)
                bound[name] = self._later(name, source)
            else:
                bound[name] = self._bind_one(name, source, bound, globals_, work, bool(pending))
        for name, about in self.declared.items():
            if name in pending and name not in bound:
                bound[name] = self._later(name, None)
            elif name not in bound:
                bound[name] = self._missing(name, about, work)
        rest = [name for name in bound if name not in self.declared]
        work.params = {name: bound[name] for name in (*self.declared, *rest)}
        return work

    def _check_undeclared(self, params: Mapping[str, Param | JoinParam]) -> None:
        for name, param in params.items():
            if name not in self.declared and not param.context_only:
                hint = did_you_mean(name, self.declared)
                message = f"param '{name}' is not a declared input; {hint}".rstrip("; ")
                into = self.issues if self._strict else self.warnings
                into.append(self._places.issue(("params", name), "undeclared_param", message))

    def _check_overrides(self, overrides: Mapping[str, JsonValue], work: Binding) -> None:
        for name in overrides:
            if name not in self.declared and name not in self._given:
                known = [*self.declared, *self._given]
                hint = did_you_mean(name, known)
                message = f"param '{name}' was given, but is not an input; {hint}".rstrip("; ")
                issue = Issue(NOWHERE, dotted(("params", name)), "unknown_param", message)
                work.issues.append(issue)

    def _typed(self, about: Declared) -> Declared:
        io, kind = about.io, ANY_TYPE
        if io.name in RESERVED_NAMES:
            message = f"'{io.name}' is a section of templates; choose another name"
            self.issues.append(self._places.issue((*about.path, "name"), "reserved_name", message))
        if io.type is not None:
            try:
                kind = parse_type(io.type)
            except ValueError as error:
                path = (*about.path, "type")
                self.issues.append(self._places.issue(path, "unknown_type", str(error)))
        if io.is_list and kind.name != "list":
            kind = IOType("list", (kind,))
        return Declared(io, about.path, about.is_input, kind, rules_of(io))

    def _parsed(self, value: JsonValue, path: Path, param: Param | None) -> _Given:
        templates = list[Template]()
        for text in _template_texts(value):
            self._templates += 1
            if self._templates > MAX_TEMPLATES:
                message = f"params have more than {MAX_TEMPLATES} templates"
                self.issues.append(self._places.issue(path, "too_large", message))
                return _Given(None, path, param)
            try:
                templates.append(template_of(text))
            except TemplateIssue as error:
                self.issues.append(self._places.issue(path, error.rule, str(error)))
        return _Given(value, path, param, templates=tuple(templates))

    def _all_given(
        self, overrides: Mapping[str, JsonValue], pending: frozenset[str], work: Binding
    ) -> dict[str, _Given]:
        given = dict[str, _Given]()
        for name, source in self._given.items():
            if name in overrides:
                given[name] = _Given(overrides[name], ("params", name), source.param, is_data=True)
            elif not source.is_reference or name in pending:
                given[name] = source
            elif not self._has_default(name, given):
                assert source.param is not None, "a reference is a param"
                message = f"param '{name}' refers to {_target(source.param)}, which has no value"
                work.issues.append(self._places.issue(source.path, "unresolved_reference", message))
                given[name] = source
        for name, value in overrides.items():
            if name not in given:
                given[name] = _Given(value, ("params", name), None, is_data=True)
        return given

    def _has_default(self, name: str, given: dict[str, _Given]) -> bool:
        about = self.declared.get(name)
        if about is None:
            return False
        if about.io.value is not None:
            given[name] = self._parsed(about.io.value, (*about.path, "value"), None)
            return True
        return bool(about.io.is_optional or (about.io.type is not None and about.kind.takes_none))

    def _in_order(
        self, given: Mapping[str, _Given], overridden: frozenset[str], work: Binding
    ) -> list[str]:
        """Returns the names such that each comes after those its value names."""
        if overridden in self._orders:
            return [name for name in self._orders[overridden] if name in given]
        graph = {
            name: sorted({n for t in source.templates for n in t.needs(given)})
            for name, source in given.items()
        }
        was_clean = True
        while True:
            try:
                order = list(TopologicalSorter(graph).static_order())
            except CycleError as error:
                cycle: list[str] = error.args[1][::-1]
                message = f"params refer to each other in a circle: {' -> '.join(cycle)}"
                path = given[cycle[0]].path
                work.issues.append(self._places.issue(path, "cyclic_reference", message))
                was_clean = False
                for name in cycle:  # cut, so that a second circle is found too
                    graph[name] = []
                    given[name].value, given[name].templates = None, ()
            else:
                if was_clean and len(self._orders) < 16:
                    self._orders[overridden] = order
                return order

    def _later(self, name: str, source: _Given | None) -> BoundParam:
        param = source.param if source is not None else None
        about = self.declared.get(name)
        kind, is_input = (about.kind, about.is_input) if about is not None else (ANY_TYPE, True)
        return BoundParam(name, None, kind, None, is_input, None, param, is_pending=True)

    def _bind_one(
        self,
        name: str,
        source: _Given,
        bound: Mapping[str, BoundParam],
        globals_: Mapping[str, JsonValue],
        work: Binding,
        is_partial: bool,
    ) -> BoundParam:
        value, before = finite(source.value), len(work.issues)
        if source.templates:
            if before >= MAX_ISSUES:
                return self._later(name, source)  # enough is wrong already
            value = self._render(source, value, _context(bound, globals_), work)
        about = self.declared.get(name)
        kind = about.kind if about is not None else ANY_TYPE
        to_env = getattr(source.param, "to_env", None)
        to_env = to_env or (about.io.to_env if about is not None else None)
        is_sound = len(work.issues) == before and not self._told(source.path)
        if about is not None and is_sound and not (is_partial and about.io.is_delayed):
            value = self._fit(name, value, about, source.path, work)
        io = about.io if about is not None else None
        is_input = about is not None and about.is_input
        return BoundParam(name, value, kind, io, is_input, to_env, source.param)

    def _issue(self, path: Path, rule: str, message: str) -> Issue:
        """Returns an issue about a value, which a caller may have given and not the file."""
        found = trace(self._places.root, path)
        if len(found.found) + len(found.tail) < len(path):
            return Issue(NOWHERE, dotted(path), rule, message)
        return self._places.issue(path, rule, message)

    def _told(self, path: Path) -> bool:
        where = self._places.field(path)
        return any(issue.field.startswith(where) for issue in self.issues)

    def _render(
        self, source: _Given, value: JsonValue, context: Mapping[str, JsonValue], work: Binding
    ) -> JsonValue:
        unknown = [text for t in source.templates for text in t.unknown_names(context)]
        for message in unknown:
            work.issues.append(self._places.issue(source.path, "unknown_name", message))
        if unknown:
            return None
        try:
            return finite(_rendered(value, context))
        except TemplateIssue as error:
            work.issues.append(self._places.issue(source.path, error.rule, str(error)))
            return None

    def _fit(
        self, name: str, value: JsonValue, about: Declared, path: Path, work: Binding
    ) -> JsonValue:
        """Returns the value as its type has it, after checking the rules declared for it."""
        if value is None and (about.io.is_optional or about.kind.takes_none or path[0] != "params"):
            return value
        if isinstance(value, str) and "$(EPOCHAL_" in value:
            return value  # the agent fills it in; checked nowhere else
        try:
            fitting = coerce(about.kind, value)
        except ValueError as error:
            work.issues.append(self._issue(path, "wrong_type", f"'{name}' {error}"))
            return value
        for message in broken_rules(about.rules, fitting):
            work.issues.append(self._issue(path, "invalid_value", f"'{name}': {message}"))
        return fitting

    def _missing(self, name: str, about: Declared, work: Binding) -> BoundParam:
        io = about.io
        takes_none = io.type is not None and about.kind.takes_none
        if about.is_input and not io.is_optional and not takes_none:
            shown = f" ({about.kind})" if io.type is not None else ""
            message = f"param '{name}'{shown} is missing: give it with -P {name}=... or a default"
            work.issues.append(self._places.issue(about.path, "missing_param", message))
        return BoundParam(name, None, about.kind, io, about.is_input, io.to_env)


def _target(param: Param | JoinParam) -> str:
    where = param.ref if isinstance(param, Param) else "a join"
    return f"{where}, {as_text(param.value)}"


def _context(
    bound: Mapping[str, BoundParam], globals_: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    views: dict[str, JsonValue] = {
        name: {"value": p.value, "as_str": as_text(p.value)} for name, p in bound.items()
    }
    values = {name: param.value for name, param in bound.items()}
    return {**values, "globals": dict(globals_), "params": views}


def _rendered(value: JsonValue, context: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, list):
        return [_rendered(item, context) for item in value]
    if isinstance(value, dict):
        return {key: _rendered(item, context) for key, item in value.items()}
    if not isinstance(value, str) or not has_template(value):
        return value
    return template_of(value).render(context)


def _template_texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str) and has_template(value):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _template_texts(item)
