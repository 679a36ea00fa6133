"""Values for inputs and outputs: who gives them, in which order they render, whether they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from pydantic import JsonValue

from epochal_scheduler.spec.checking import Path
from epochal_scheduler.spec.iotypes import IOType, coerce, parse_type
from epochal_scheduler.spec.issues import NOWHERE, Issue, dotted
from epochal_scheduler.spec.nodes import MapNode, locate
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.schema.io import IO, Param, Validation
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.templates import Template, TemplateIssue, as_text, to_json
from epochal_scheduler.spec.validations import broken_rules

_ANY = IOType("any")
MAX_TEMPLATES = 1_000


@dataclass(frozen=True, slots=True)
class Declared:
    """An input or output, and where its declaration stands."""

    io: IO
    path: Path
    is_input: bool


@dataclass(frozen=True, slots=True)
class BoundParam:
    """A parameter with the value it has for this run."""

    name: str
    value: JsonValue
    kind: IOType
    declared: IO | None
    is_input: bool
    to_env: str | None

    def as_argument(self) -> str:
        """Returns the value as a command-line argument: by `argFormat`, as flag, or `--name=v`."""
        if self.declared is not None and self.declared.is_flag:
            return f"--{self.name}" if self.value is True else ""
        if self.value is None:
            return ""
        if self.declared is not None and self.declared.arg_format:
            rendered = Template(self.declared.arg_format).render({self.name: self.value})
            return as_text(rendered)
        return f"--{self.name}={as_text(self.value)}"

    def env_text(self) -> str:
        """Returns the value as an environment variable has it: text, or else JSON."""
        return self.value if isinstance(self.value, str) else to_json(self.value)


@dataclass(slots=True)
class _Given:
    """A value before it is rendered, and where it stands."""

    value: JsonValue
    path: Path
    param: Param | None
    templates: list[Template] = field(default_factory=list)


@dataclass(slots=True)
class Binder:
    """Binds the parameters of one operation; collects issues instead of stopping at the first."""

    root: MapNode
    declared: Mapping[str, Declared]
    globals_: Mapping[str, JsonValue]
    issues: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    templates: int = 0

    def bind(
        self,
        params: Mapping[str, Param],
        overrides: Mapping[str, JsonValue],
        *,
        strict: bool,
    ) -> dict[str, BoundParam]:
        """Returns the bound parameters by name.

        Args:
            params: as the operation gives them.
            overrides: as the caller gives them; they win.
            strict: whether a parameter that is not declared is an error (`strictParams`).
        """
        self._check_names(params, overrides, strict)
        given = self._collect(params, overrides)
        bound = dict[str, BoundParam]()
        for name in self._in_order(given):
            bound[name] = self._bind_one(name, given[name], bound)
        for name, declared in self.declared.items():
            if name not in given:
                bound[name] = self._bind_missing(name, declared)
        return {
            name: bound[name] for name in (*self.declared, *(given.keys() - self.declared.keys()))
        }

    def _check_names(
        self, params: Mapping[str, Param], overrides: Mapping[str, JsonValue], strict: bool
    ) -> None:
        known = [*self.declared, *params]
        for name, param in params.items():
            if name not in self.declared and not param.context_only:
                hint = did_you_mean(name, self.declared)
                message = f"param '{name}' is not a declared input; {hint}".rstrip("; ")
                into = self.issues if strict else self.warnings
                into.append(self._issue(("params", name), "undeclared_param", message))
        for name in overrides:
            if name not in known:
                hint = did_you_mean(name, known)
                message = f"param '{name}' was given, but is not an input; {hint}".rstrip("; ")
                issue = Issue(NOWHERE, dotted(("params", name)), "unknown_param", message)
                self.issues.append(issue)

    def _collect(
        self, params: Mapping[str, Param], overrides: Mapping[str, JsonValue]
    ) -> dict[str, _Given]:
        given = dict[str, _Given]()
        for name, declared in self.declared.items():
            if declared.io.value is not None:
                given[name] = _Given(declared.io.value, (*declared.path, "value"), None)
        for name, param in params.items():
            path: Path = ("params", name)
            if param.ref is not None and name not in overrides:
                message = f"'{param.ref}' is another run; references to runs are not resolved yet"
                self.issues.append(self._issue((*path, "ref"), "unsupported_reference", message))
            given[name] = _Given(param.value, path, param)
        for name, value in overrides.items():
            given[name] = _Given(value, ("params", name), params.get(name))
        for name, source in given.items():
            if name not in overrides:  # what a caller gives is data, not a template
                source.templates = list(self._templates(source))
        return given

    def _templates(self, source: _Given) -> Iterator[Template]:
        for text in _template_texts(source.value):
            self.templates += 1
            if self.templates > MAX_TEMPLATES:
                message = f"params have more than {MAX_TEMPLATES} templates"
                self.issues.append(self._issue(source.path, "too_large", message))
                source.value = None
                return
            try:
                yield Template(text)
            except TemplateIssue as error:
                self.issues.append(self._issue(source.path, error.rule, str(error)))

    def _in_order(self, given: Mapping[str, _Given]) -> list[str]:
        """Returns the names such that each comes after those its value names."""
        graph = {name: sorted(_needs(source, given)) for name, source in given.items()}
        while True:
            try:
                return list(TopologicalSorter(graph).static_order())
            except CycleError as error:
                cycle: list[str] = error.args[1][::-1]
                message = f"params refer to each other in a circle: {' -> '.join(cycle)}"
                issue = self._issue(given[cycle[0]].path, "cyclic_reference", message)
                self.issues.append(issue)
                for name in cycle:  # cut, so that a second circle is found too
                    graph[name] = []
                    given[name].value, given[name].templates = None, []

    def _bind_one(self, name: str, source: _Given, bound: Mapping[str, BoundParam]) -> BoundParam:
        value = source.value
        if source.templates:
            context = self._context(bound)
            unknown = [text for t in source.templates for text in t.unknown_names(context)]
            for message in unknown:
                self.issues.append(self._issue(source.path, "unknown_name", message))
            value = None if unknown else self._render(source, value, context)
        declared = self.declared.get(name)
        kind = self._kind(declared)
        to_env = source.param.to_env if source.param is not None else None
        to_env = to_env or (declared.io.to_env if declared is not None else None)
        failed = any(issue.field.startswith(dotted(source.path)) for issue in self.issues)
        if not failed:
            value = self._fit(name, value, kind, declared, source.path)
        io = declared.io if declared is not None else None
        return BoundParam(name, value, kind, io, declared is not None and declared.is_input, to_env)

    def _context(self, bound: Mapping[str, BoundParam]) -> dict[str, JsonValue]:
        views: dict[str, JsonValue] = {
            name: {"value": p.value, "as_str": as_text(p.value)} for name, p in bound.items()
        }
        values = {name: param.value for name, param in bound.items()}
        return {**values, "globals": dict(self.globals_), "params": views}

    def _render(
        self, source: _Given, value: JsonValue, context: Mapping[str, JsonValue]
    ) -> JsonValue:
        if isinstance(value, list):
            return [self._render(source, item, context) for item in value]
        if isinstance(value, dict):
            return {key: self._render(source, item, context) for key, item in value.items()}
        if not isinstance(value, str) or not has_template(value):
            return value
        try:
            return Template(value).render(context)
        except TemplateIssue as error:
            self.issues.append(self._issue(source.path, error.rule, str(error)))
            return None

    def _kind(self, declared: Declared | None) -> IOType:
        if declared is None or declared.io.type is None:
            return _ANY
        try:
            kind = parse_type(declared.io.type)
        except ValueError as error:
            path = (*declared.path, "type")
            if not any(issue.field == dotted(path) for issue in self.issues):
                self.issues.append(self._issue(path, "unknown_type", str(error)))
            return _ANY
        return IOType("list", (kind,)) if declared.io.is_list and kind.name != "list" else kind

    def _fit(
        self, name: str, value: JsonValue, kind: IOType, declared: Declared | None, path: Path
    ) -> JsonValue:
        """Returns the value as its type has it, after checking the rules declared for it."""
        if declared is None or (value is None and (declared.io.is_optional or kind.takes_none)):
            return value
        if value is None and path[0] != "params":
            return value
        if isinstance(value, str) and "$(EPOCHAL_" in value:
            return value  # the agent fills it in; checked nowhere else
        try:
            fitting = coerce(kind, value)
        except ValueError as error:
            self.issues.append(self._issue(path, "wrong_type", f"'{name}' {error}"))
            return value
        for message in broken_rules(_rules(declared.io), fitting):
            self.issues.append(self._issue(path, "invalid_value", f"'{name}': {message}"))
        return fitting

    def _bind_missing(self, name: str, declared: Declared) -> BoundParam:
        kind, io = self._kind(declared), declared.io
        if declared.is_input and not io.is_optional and not kind.takes_none:
            message = f"param '{name}' ({kind}) is missing: give it with -P {name}=... or a default"
            self.issues.append(self._issue(declared.path, "missing_param", message))
        elif declared.is_input and io.type is None and not io.is_optional:
            message = f"param '{name}' is missing: give it with -P {name}=... or a default"
            self.issues.append(self._issue(declared.path, "missing_param", message))
        return BoundParam(name, None, kind, io, declared.is_input, None)

    def _issue(self, path: Path, rule: str, message: str) -> Issue:
        mark, found = locate(self.root, path)
        return Issue(mark, dotted(path if len(found) < len(path) else found), rule, message)


def _rules(io: IO) -> Validation:
    rules = io.validation or Validation()
    if io.options is not None and rules.options is None:
        return rules.model_copy(update={"options": io.options})
    return rules


def _template_texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str) and has_template(value):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _template_texts(item)


def _needs(source: _Given, given: Mapping[str, _Given]) -> set[str]:
    """Returns the names of the parameters that a value's templates name."""
    needed = set[str]()
    for template in source.templates:
        needed |= template.names & given.keys()
        if "params" in template.names:
            members = template.members("params")
            needed |= (given.keys() if members is None else members) & given.keys()
    return needed
