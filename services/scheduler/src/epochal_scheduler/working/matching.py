"""Whether a happening fires a trigger, and why not: kind, subject, project, filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from epochal_scheduler.spec.schema.scheduling import EventTrigger
from epochal_scheduler.spec.templates import Template, TemplateIssue
from epochal_scheduler.working.happenings import Happening

ORG_WIDE = "org_custom_event"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a happening counts, and in words why."""

    counts: bool
    reason: str


@dataclass(slots=True)
class Matcher:
    """One trigger's rule, ready to be asked many times."""

    rule: EventTrigger
    project: str
    pipeline: str = ""
    _filter: Template | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.rule.filter:
            text = self.rule.filter
            self._filter = Template(text if "{{" in text else "{{ " + text + " }}")

    def judge(self, happening: Happening) -> Verdict | None:
        """Returns whether a happening counts; None when it is of another kind altogether.

        Args:
            happening: what happened. What a trigger's own runs do never fires it, nor does it fire
                itself: that would have no end.
        """
        kinds = [kind for kind in self.rule.kinds if kind in happening.kinds]
        if not kinds:
            return None
        if self.pipeline and happening.resource == self.pipeline:
            return None
        if happening.project != self.project and ORG_WIDE not in kinds:
            return None
        if happening.project.split("/")[:2] != self.project.split("/")[:2]:
            return None
        if self.rule.ref and self.rule.ref not in happening.subjects:
            return Verdict(False, f"it is not about {self.rule.ref}")
        return self._filtered(happening, kinds[0])

    def _filtered(self, happening: Happening, kind: str) -> Verdict:
        if self._filter is None:
            return Verdict(True, f"it is {kind}")
        context: Mapping[str, JsonValue] = {
            **happening.attributes,
            "event": {
                "kind": kind,
                "resource": happening.resource,
                "project": happening.project,
                "actor": happening.actor,
                "time": happening.at.isoformat(),
                **happening.attributes,
            },
        }
        try:
            value = self._filter.render(context)
        except TemplateIssue as error:
            return Verdict(False, f"its filter cannot be applied: {error}")
        holds = value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1")
        shown = self.rule.filter
        return Verdict(holds, f"{shown} {'holds' if holds else 'does not hold'}")
