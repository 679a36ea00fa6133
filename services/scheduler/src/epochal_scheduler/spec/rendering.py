"""Templates all over an operation, rendered in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from epochal_scheduler.spec.checking import Path
from epochal_scheduler.spec.issues import Issue, dotted
from epochal_scheduler.spec.nodes import MapNode, locate
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.templates import Template, TemplateIssue, as_text

MAX_TEMPLATES = 1_000
MAX_TOTAL_CHARS = 4 * 1024 * 1024


@dataclass(slots=True)
class Renderer:
    """Renders with one context; collects issues instead of stopping at the first."""

    root: MapNode
    context: Mapping[str, JsonValue]
    issues: list[Issue] = field(default_factory=list)
    total_chars: int = 0
    templates: int = 0

    def render(self, value: JsonValue, path: Path) -> JsonValue:
        """Returns the value with its templates as text; one that gives a list becomes its items."""
        if isinstance(value, dict):
            return {key: self.render(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            items = list[JsonValue]()
            for index, item in enumerate(value):
                rendered = self._evaluate(item, (*path, index))
                if isinstance(item, str) and isinstance(rendered, list):
                    items.extend(rendered)
                else:
                    items.append(rendered)
            return items
        return self._text(self._evaluate(value, path), value)

    def holds(self, condition: str, path: Path) -> bool:
        """Says whether a condition is true; one without `{{ }}` is an expression as it stands."""
        text = condition if has_template(condition) else "{{ " + condition + " }}"
        value = self._template(text, path)
        if isinstance(value, str):
            return value.strip().lower() in ("true", "yes", "on", "1")
        return bool(value)

    def _evaluate(self, value: JsonValue, path: Path) -> JsonValue:
        if isinstance(value, dict | list):
            return self.render(value, path)
        if isinstance(value, str) and has_template(value):
            rendered = self._template(value, path)
            return rendered if isinstance(rendered, list) else self._text(rendered, value)
        return value

    @staticmethod
    def _text(rendered: JsonValue, written: JsonValue) -> JsonValue:
        return as_text(rendered) if has_template(written) else rendered

    def _template(self, source: str, path: Path) -> JsonValue:
        self.templates += 1
        if self.templates > MAX_TEMPLATES:
            if self.templates == MAX_TEMPLATES + 1:
                self._complain(path, "too_large", f"there are more than {MAX_TEMPLATES} templates")
            return source
        try:
            template = Template(source)
            unknown = list(template.unknown_names(self.context))
            for message in unknown:
                self._complain(path, "unknown_name", message)
            if unknown:
                return source
            value = template.render(self.context)
        except TemplateIssue as error:
            self._complain(path, error.rule, str(error))
            return source
        self.total_chars += len(as_text(value))
        if self.total_chars > MAX_TOTAL_CHARS:
            self._complain(path, "too_large", "the templates render to more than 4 MiB in all")
            return ""
        return value

    def _complain(self, path: Path, rule: str, message: str) -> None:
        mark, _ = locate(self.root, path)
        self.issues.append(Issue(mark, dotted(path), rule, message))
