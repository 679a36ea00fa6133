"""Children of pipelines: steps of a DAG, trials of a sweep, ticks of a schedule, hooks.

All is prepared once for each template; a child costs binding, rendering and sealing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan
from epochal_scheduler.spec.contexts import RunScope, build_globals
from epochal_scheduler.spec.issues import NOWHERE, Issue, SpecError, dotted
from epochal_scheduler.spec.nodes import Path, Places, from_data
from epochal_scheduler.spec.preparing import Prepared
from epochal_scheduler.spec.references import JoinPlan, ParamReference
from epochal_scheduler.spec.rendering import as_condition, is_true
from epochal_scheduler.spec.schema.base import has_template
from epochal_scheduler.spec.schema.runtimes import Dag
from epochal_scheduler.spec.steps import Need, StepPlan, references_of, step_plan
from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.templates import TemplateIssue, template_of
from epochal_scheduler.spec.values import as_text

__all__ = [
    "ChildCompiler",
    "JoinPlan",
    "Need",
    "ParamReference",
    "StepPlan",
    "render_join",
]


class ChildCompiler:
    """Compiles the children of one pipeline.

    Attributes:
        steps: for a DAG, its operations by name, in file order; empty otherwise.
        references: what each child's parameters ask of other runs (for a schedule or trigger).
        joins: joins that each child makes anew (for a schedule or trigger).
    """

    steps: Mapping[str, StepPlan]
    references: tuple[ParamReference, ...] = ()
    joins: tuple[JoinPlan, ...] = ()

    def __init__(self, plan: OperationPlan) -> None:
        """Prepares all templates.

        Raises:
            SpecError: a template of the plan is not valid.
        """
        self._plan = plan
        self._given = dict(plan.given or {})
        self._prepared = dict[str, Prepared]()
        self.steps = {}
        if plan.template is not None:
            prepared = _prepare(plan.template)
            self._prepared[""] = prepared
            found = references_of(prepared.document, prepared.places, [])
            self.references = tuple(r for r in found[0] if r.param not in self._given)
            self.joins = found[1]
        elif isinstance(plan.run, Dag):
            self._prepare_steps(plan.run)

    def compile(
        self, values: Mapping[str, JsonValue], scope: RunScope, step: str = ""
    ) -> CompiledOperation:
        """Compiles one child.

        Args:
            values: of the parameters that the runtime resolved: references, matrix values, joins.
                Every other parameter is as the file says.
            scope: the child's run.
            step: for a DAG, which of its operations.

        Raises:
            SpecError: a value does not fit, a template fails, or there is no such step.
        """
        prepared = self._prepared.get(step)
        if prepared is None:
            hint = did_you_mean(step, self._prepared)
            message = f"there is no step '{step}' to compile; {hint}".rstrip("; ")
            raise SpecError([Issue(NOWHERE, "", "unknown_step", message)])
        if step and not scope.step:
            scope = replace(scope, step=step)
        return prepared.compile({**self._given, **values}, scope, is_checked=True)

    def compile_hook(
        self,
        index: int,
        scope: RunScope,
        outputs: Mapping[str, JsonValue] | None = None,
        ended: RunScope | None = None,
    ) -> CompiledOperation | None:
        """Compiles what a hook of the pipeline runs; None if its component is not known.

        Params and condition of the hook are of the run that ended: they may name its inputs and
        outputs, by themselves and as `inputs` and `outputs`, `status` and `condition`, and its
        `globals`. Unless it has `disableDefaults`, the component knows these names too, and an
        input that it declares by one of them gets the value.

        Args:
            index: which of the plan's hooks.
            scope: the hook's run; its status and condition are those of the run that ended.
            outputs: what the run that ended has given.
            ended: the run that ended, for its `globals`; without it, those of the hook's run.

        Raises:
            SpecError: a template fails, or a value does not fit.
        """
        hook = (self._plan.hooks or [])[index]
        if hook.template is None:
            return None
        known = hook_values(self._plan, scope, outputs or {})
        context: dict[str, JsonValue] = {
            **known,
            "globals": build_globals(ended or scope, self._plan.name or ""),
            "params": {name: {"value": value} for name, value in known.items()},
        }
        given = {
            name: _filled(param.value, context, ("hooks", index, "params", name))
            for name, param in (hook.params or {}).items()
        }
        values = given if hook.disable_defaults else {**known, **given}
        template = _with_context(hook.template, values)
        if hook.conditions is not None:
            text = as_condition(hook.conditions)
            holds = is_true(_filled(text, context, ("hooks", index, "conditions")))
            template["conditions"] = "true" if holds else "false"
        values = {name: value for name, value in values.items() if value is not None}
        return _prepare(template).compile(values, scope, is_checked=True)

    def _prepare_steps(self, dag: Dag) -> None:
        steps = dict[str, StepPlan]()
        for data in dag.operations:
            document = _prepare(data)
            plan = step_plan(document.document, document.places, [])
            steps[plan.name] = plan
            # In a DAG, events are what a step waits for; the run that it becomes has none.
            alone = {key: value for key, value in data.items() if key != "events"}
            self._prepared[plan.name] = document if len(alone) == len(data) else _prepare(alone)
        self.steps = steps


def _with_context(
    template: Mapping[str, JsonValue], known: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    own = template.get("params")
    params: dict[str, JsonValue] = {name: {"contextOnly": True} for name in known}
    return {**template, "params": {**params, **(own if isinstance(own, dict) else {})}}


def hook_values(
    plan: OperationPlan, scope: RunScope, outputs: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Returns what hooks are told of the run that ended."""
    inputs = {io.name: io.value for io in plan.io if io.is_input or io.is_context}
    results = {io.name: io.value for io in plan.outputs} | dict(outputs)
    ended: dict[str, JsonValue] = {"status": scope.status, "condition": scope.condition}
    return {**ended, "inputs": inputs, "outputs": results, **inputs, **results}


def _filled(value: JsonValue, context: Mapping[str, JsonValue], path: Path) -> JsonValue:
    """Returns a value with its templates filled in."""
    if isinstance(value, dict):
        return {key: _filled(item, context, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, context, path) for item in value]
    if not isinstance(value, str) or not has_template(value):
        return value
    try:
        template = template_of(value)
        for message in template.unknown_names(context):
            raise TemplateIssue("unknown_name", message)
        return template.render(context)
    except TemplateIssue as error:
        raise SpecError([Issue(NOWHERE, dotted(path), error.rule, str(error))]) from error


def _prepare(data: Mapping[str, JsonValue]) -> Prepared:
    return Prepared(Places(from_data(dict(data))))


def render_join(join: JoinPlan, scope: RunScope, params: Mapping[str, JsonValue]) -> JoinPlan:
    """Returns a join with the templates of its query, sort, limit and offset filled in.

    Raises:
        SpecError: a template fails, or a limit is no number.
    """
    context: dict[str, JsonValue] = {
        **params,
        "globals": build_globals(scope, scope.step),
        "params": {name: {"value": value} for name, value in params.items()},
    }

    def render(value: str) -> str:
        return as_text(_filled(value, context, ("joins",)))

    try:
        return replace(
            join,
            query=render(join.query),
            sort=render(join.sort),
            limit=int(render(str(join.limit))),
            offset=int(render(str(join.offset))),
        )
    except SpecError:
        raise  # a ValueError too, and precise already
    except ValueError as error:
        message = f"limit and offset of a join are whole numbers: {error}"
        raise SpecError([Issue(NOWHERE, "joins", "wrong_type", message)]) from error
