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

    def concerns(self, happening: Happening) -> bool:
        """Says whether a happening is of a kind and a place that the rule asks for."""
        kinds = self._kinds(happening)
        if not kinds or (self.pipeline and happening.resource == self.pipeline):
            return False
        if happening.project != self.project and ORG_WIDE not in kinds:
            return False
        return happening.project.split("/")[:2] == self.project.split("/")[:2]

    def judge(self, happening: Happening) -> Verdict | None:
        """Returns whether a happening counts; None when it does not concern the rule at all.

        Args:
            happening: what happened. The trigger itself never fires it; that its own runs do not is
                for who knows them to see.
        """
        if not self.concerns(happening):
            return None
        kinds = self._kinds(happening)
        if self.rule.ref and self.rule.ref not in happening.subjects:
            return Verdict(False, f"it is not about {self.rule.ref}")
        return self._filtered(happening, kinds[0])

    def _kinds(self, happening: Happening) -> list[str]:
        return [kind for kind in self.rule.kinds if kind in happening.kinds]

    def _filtered(self, happening: Happening, kind: str) -> Verdict:
        if self._filter is None:
            return Verdict(True, f"it is {kind}")
        context: Mapping[str, JsonValue] = {
            **happening.attributes,
            "event": {
                "kind": kind,
                **happening.attributes,
                "resource": happening.resource,
                "project": happening.project,
                "actor": happening.actor,
                "time": happening.at.isoformat(),
            },
        }
        try:
            value = self._filter.render(context)
        except TemplateIssue as error:
            return Verdict(False, f"its filter cannot be applied: {error}")
        holds = value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1")
        shown = self.rule.filter
        return Verdict(holds, f"{shown} {'holds' if holds else 'does not hold'}")
