"""Plans of pipelines: what a schedule, trigger or sweep keeps of its operation, and what is left.

The rest is the template of its children. A schedule and a trigger leave nearly all to them, for
each child is a run like one that was submitted then. A sweep is one piece of work: approval, hooks
and a condition that no swept parameter decides are its own, so that a person is asked once and
told once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from epochal_scheduler.spec.binding import Binding
from epochal_scheduler.spec.rendering import Dynamic, Renderer, templates_in

if TYPE_CHECKING:
    from epochal_scheduler.spec.preparing import Prepared

SECTIONS = {"schedule": "schedule", "trigger": "events", "matrix": "matrix"}
_SHOWN = frozenset(
    {"name", "description", "tags", "presets", "queue", "namespace", "cost", "mount", "plugins"}
)
_OWN_OF_SWEEP = frozenset({"isApproved", "approval"})
_GONE_FROM_TRIAL = _OWN_OF_SWEEP | {
    "hooks", "joins", "dependencies", "trigger", "skipOnUpstreamSkip",
}  # fmt: skip
# Without these a pipeline cannot begin, so nothing in them may wait for a child's values.
_NEEDED = frozenset({"matrix", "schedule", "events", "queue", "isApproved", "approval"})


def pipeline_fields(
    prepared: Prepared,
    renderer: Renderer,
    binding: Binding,
    overrides: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Returns the fields of the plan, but for `io`."""
    later = {name for name, param in binding.params.items() if param.is_pending}
    is_sweep = prepared.level == "matrix"
    section = SECTIONS[prepared.level]
    wanted = _SHOWN | {section} | (_OWN_OF_SWEEP if is_sweep else frozenset())
    fields = dict[str, JsonValue]()
    for alias, piece in prepared.pieces.items():
        if alias not in wanted:
            continue
        needed = [found for found in templates_in(piece) if found.template.needs(later)]
        if not needed:
            fields[alias] = renderer.render(piece)
        elif alias in _NEEDED:
            names = ", ".join(sorted(needed[0].template.needs(later)))
            message = f"'{alias}' is needed before '{names}' has a value"
            renderer.issues.append(prepared.places.issue(needed[0].path, "too_early", message))
    gone = {section, "version"}
    if is_sweep:
        gone |= _GONE_FROM_TRIAL
        fields |= _of_sweep(prepared, renderer, later, gone)
    fields["template"] = _template(prepared, gone, is_sweep=is_sweep)
    if overrides:
        fields["given"] = dict(overrides)
    return fields


def _of_sweep(
    prepared: Prepared, renderer: Renderer, later: set[str], gone: set[str]
) -> dict[str, JsonValue]:
    fields = dict[str, JsonValue]()
    if "hooks" in prepared.data:
        fields["hooks"] = prepared.extras.hooks_with_templates(prepared.data["hooks"])
    if prepared.extras.tuner is not None:
        fields["tuner"] = prepared.extras.tuner
    condition = prepared.condition
    if condition is not None and not (
        isinstance(condition, Dynamic) and condition.template.needs(later)
    ):
        fields["isSkipped"] = not renderer.holds(condition)
        gone.add("conditions")
    return fields


def _template(prepared: Prepared, gone: set[str], *, is_sweep: bool) -> JsonValue:
    """Returns the operation of the children, with what was attached to it."""
    kept = {key: value for key, value in prepared.data.items() if key not in gone}
    if is_sweep and prepared.document.joins:
        kept["params"] = _with_joined(prepared, kept.get("params"))
    if not is_sweep and any(prepared.extras.hooks):
        kept["hooks"] = prepared.extras.hooks_with_templates(kept["hooks"])
    if not is_sweep and prepared.extras.tuner is not None:
        kept["tuner"] = prepared.extras.tuner
    return kept


def _with_joined(prepared: Prepared, params: JsonValue) -> JsonValue:
    """Returns parameters with those that joins fed: their values are given by now."""
    made = dict(params) if isinstance(params, dict) else {}
    for join in prepared.document.joins or ():
        for name, param in (join.params or {}).items():
            said = param.model_dump(by_alias=True, exclude_none=True, exclude={"value"})
            made.setdefault(name, said)
    return made
