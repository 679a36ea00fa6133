"""Children of pipelines: steps of a DAG, trials of a sweep, ticks of a schedule, hooks.

All is prepared once for each template; a child costs binding, rendering and sealing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan
from epochal_scheduler.spec.contexts import RunScope, build_globals
from epochal_scheduler.spec.issues import NOWHERE, Issue, SpecError
from epochal_scheduler.spec.nodes import Places, from_data
from epochal_scheduler.spec.preparing import Prepared
from epochal_scheduler.spec.references import JoinPlan, ParamReference
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
        self._hooks = dict[int, Prepared]()
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
    ) -> CompiledOperation | None:
        """Compiles what a hook of the pipeline runs; None if its component is not known.

        Unless it has `disableDefaults`, the hook's templates may name inputs and outputs of the run
        it belongs to, by themselves and as `inputs` and `outputs`; `status` and `condition` are
        those of the scope. A declared input of the same name gets the value.
        """
        hook = (self._plan.hooks or [])[index]
        if hook.template is None:
            return None
        known = {} if hook.disable_defaults else self._defaults(scope, outputs or {})
        if index not in self._hooks:
            self._hooks[index] = _prepare(_with_context(hook.template, known))
        given = hook.params or {}
        values = {n: v for n, v in known.items() if n not in given and v is not None}
        return self._hooks[index].compile(values, scope, is_checked=True)

    def _defaults(self, scope: RunScope, outputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Returns what a hook is told of the run that ended, unless it wants none of it."""
        inputs = {io.name: io.value for io in self._plan.inputs}
        results = {io.name: io.value for io in self._plan.outputs} | dict(outputs)
        return {
            **inputs,
            **results,
            "inputs": inputs,
            "outputs": results,
            "status": scope.status,
            "condition": scope.condition,
        }

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
        if not has_template(value):
            return value
        template = template_of(value)
        for message in template.unknown_names(context):
            raise SpecError([Issue(NOWHERE, "joins", "unknown_name", message)])
        return as_text(template.render(context))

    try:
        return replace(
            join,
            query=render(join.query),
            sort=render(join.sort),
            limit=int(render(str(join.limit))),
            offset=int(render(str(join.offset))),
        )
    except TemplateIssue as error:
        raise SpecError([Issue(NOWHERE, "joins", error.rule, str(error))]) from error
    except ValueError as error:
        message = f"limit and offset of a join are whole numbers: {error}"
        raise SpecError([Issue(NOWHERE, "joins", "wrong_type", message)]) from error
