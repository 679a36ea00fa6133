"""Templates all over an operation: found once, rendered for every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import JsonValue

from epochal_scheduler.spec.issues import MAX_ISSUES, Issue
from epochal_scheduler.spec.nodes import Path, Places
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.templates import Template, TemplateIssue, template_of
from epochal_scheduler.spec.values import as_text

MAX_TEMPLATES = 1_000
MAX_TOTAL_CHARS = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Constant:
    """A part without templates, as it is."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A text with a template."""

    template: Template
    text: str
    path: Path


@dataclass(frozen=True, slots=True)
class Items:
    """A list with templates in it."""

    items: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with templates in it."""

    fields: Mapping[str, Piece]


Piece: TypeAlias = Constant | Dynamic | Items | Fields


@dataclass(slots=True)
class Scanner:
    """Finds the templates of an operation; collects issues instead of stopping at the first."""

    places: Places
    issues: list[Issue] = field(default_factory=list)
    count: int = 0

    def scan(self, value: JsonValue, path: Path) -> Piece:
        """Returns the value in pieces, with its templates parsed."""
        if isinstance(value, dict):
            fields = {key: self.scan(item, (*path, key)) for key, item in value.items()}
            if all(isinstance(piece, Constant) for piece in fields.values()):
                return Constant(value)
            return Fields(fields)
        if isinstance(value, list):
            items = tuple(self.scan(item, (*path, index)) for index, item in enumerate(value))
            if all(isinstance(piece, Constant) for piece in items):
                return Constant(value)
            return Items(items)
        if not isinstance(value, str) or not has_template(value):
            return Constant(value)
        return self.text(value, path)

    def text(self, source: str, path: Path) -> Piece:
        """Returns a text with a template; a constant if it cannot be one, which is then told."""
        self.count += 1
        if self.count > MAX_TEMPLATES:
            if self.count == MAX_TEMPLATES + 1:
                message = f"there are more than {MAX_TEMPLATES} templates"
                self.issues.append(self.places.issue(path, "too_large", message))
            return Constant(source)
        try:
            return Dynamic(template_of(source), source, path)
        except TemplateIssue as error:
            self.issues.append(self.places.issue(path, error.rule, str(error)))
            return Constant(source)


def templates_in(piece: Piece) -> Iterator[Dynamic]:
    """Yields every template of a value."""
    match piece:
        case Dynamic():
            yield piece
        case Items(items=items):
            for item in items:
                yield from templates_in(item)
        case Fields(fields=fields):
            for inner in fields.values():
                yield from templates_in(inner)


def as_condition(text: str) -> str:
    """Returns a condition as a template; one without `{{ }}` is an expression as it stands."""
    return text if has_template(text) else "{{ " + text + " }}"


def is_true(value: JsonValue) -> bool:
    """Says whether the value of a condition is true."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "on", "1")
    return bool(value)


@dataclass(slots=True)
class Renderer:
    """Renders with one context; collects issues instead of stopping at the first."""

    places: Places
    context: Mapping[str, JsonValue]
    issues: list[Issue] = field(default_factory=list)
    total_chars: int = 0

    def render(self, piece: Piece) -> JsonValue:
        """Returns the value with its templates as text; one that gives a list becomes its items."""
        match piece:
            case Constant(value=value):
                return value
            case Fields(fields=fields):
                return {key: self.render(inner) for key, inner in fields.items()}
            case Items(items=items):
                made = list[JsonValue]()
                for item in items:
                    if isinstance(item, Dynamic):
                        value = self.evaluate(item)
                        if isinstance(value, list):
                            made.extend(value)
                        else:
                            made.append(as_text(value))
                    else:
                        made.append(self.render(item))
                return made
            case Dynamic():
                return as_text(self.evaluate(piece))

    def holds(self, piece: Piece) -> bool:
        """Says whether a condition is true."""
        return is_true(self.evaluate(piece) if isinstance(piece, Dynamic) else self.render(piece))

    def evaluate(self, piece: Dynamic) -> JsonValue:
        """Returns the value of a template, not its text; nothing more once enough is wrong."""
        if len(self.issues) >= MAX_ISSUES:
            return piece.text
        unknown = list(piece.template.unknown_names(self.context))
        if unknown:
            for message in unknown:
                self._complain(piece.path, "unknown_name", message)
            return piece.text
        try:
            value = piece.template.render(self.context)
        except TemplateIssue as error:
            self._complain(piece.path, error.rule, str(error))
            return piece.text
        self.total_chars += len(as_text(value))
        if self.total_chars > MAX_TOTAL_CHARS:
            message = "the templates render to more than 4 MiB in all"
            self._complain(piece.path, "too_large", message)
            return ""
        return value

    def _complain(self, path: Path, rule: str, message: str) -> None:
        self.issues.append(self.places.issue(path, rule, message))
