# ruff: noqa: E501 - a row of a table is easier to read on one line
"""Corners of the grammar: each small, each once met or easily got wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from uuid import UUID

import pytest
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiling import compile_operation, external_references
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.library import Library
from spec_samples import SCOPE, compile_text, issues_of, job

SWEEP = "kind: operation\nmatrix: {{{matrix}}}\ncomponent: {{inputs: [{{name: n{io}}}], run: {{kind: job, container: {{command: [x]}}}}}}\n"
SCHEDULE = (
    "kind: operation\nschedule: {%s}\ncomponent: {run: {kind: job, container: {command: [x]}}}\n"
)


def sweep(matrix, io=""):
    return SWEEP.format(matrix=matrix, io=io)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("90", "PT1M30S"), ("1.5", "PT1.5S"), ("90s", "PT1M30S"), ("500ms", "PT0.5S"), ("1h 30m", "PT1H30M"),
        ("2d", "P2D"), ("1w", "P7D"), ("'00:01:30'", "PT1M30S"), ("PT90S", "PT1M30S"), ("'15'", "PT15S"),
    ],
)  # fmt: skip
def test_durations_are_read_in_every_form(written, kept):
    plan = compile_text(SCHEDULE % f"kind: cron, cron: '@daily', jitter: {written}")
    assert json.loads(plan.canonical_json)["schedule"]["jitter"] == kept


@pytest.mark.parametrize("written", ["soon", "-1", "1x", "[]", "9999999999999"])
def test_what_is_no_duration_is_refused(written):
    (issue,) = issues_of(SCHEDULE % f"kind: cron, cron: '@daily', jitter: {written}")
    assert (issue.field, issue.rule) == ("schedule.jitter", "invalid_duration")


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 1 *"), ("@Daily", "0 0 * * *"),
    ],
)  # fmt: skip
def test_names_of_cron_become_expressions(name, expression):
    plan = compile_text(SCHEDULE % f"kind: cron, cron: '{name}'").plan
    assert plan.schedule.cron == expression


def test_a_schedule_may_be_templated():
    text = (
        "kind: operation\nparams: {c: {value: '@daily', contextOnly: true}, z: {value: Asia/Tokyo, contextOnly: true}}\n"
        "schedule: {kind: cron, cron: '{{ c }}', timezone: '{{ z }}', maxRuns: '{{ 1 + 1 }}'}\n"
        "component: {run: {kind: job, container: {command: [x]}}}\n"
    )
    schedule = compile_text(text).plan.schedule
    assert (schedule.cron, schedule.timezone, schedule.max_runs) == ("0 0 * * *", "Asia/Tokyo", 2)
    assert [i.rule for i in issues_of(text, {"z": "Asia/Tokio"})] == ["unknown_timezone"]


def test_a_tuner_stays_with_a_sweep_that_is_scheduled():
    text = (
        "kind: operation\nschedule: {kind: cron, cron: '@daily'}\n"
        "matrix: {kind: iterative, maxIterations: 2, tuner: {hubRef: t}, params: {n: {kind: choice, value: [1]}}}\n"
        "component: {inputs: [{name: n}], run: {kind: job, container: {command: [x]}}}\n"
    )
    library = Library({"t": b"cmd: suggest\n"})
    plan = compile_operation(text.encode(), {}, SCOPE, library).plan
    tick = ChildCompiler(plan).compile({}, SCOPE).plan
    assert (tick.runtime, tick.tuner["name"]) == ("matrix", "t")
    (warning,) = compile_text(text).warnings
    assert "an iterative sweep cannot go on without it" in warning.message


def test_a_condition_that_a_sweep_decides_stays_with_its_trials():
    text = sweep("kind: mapping, values: [{n: 1}, {n: 5}]") + "conditions: n > 2\n"
    compiler = ChildCompiler(compile_text(text).plan)
    assert [compiler.compile({"n": n}, SCOPE).plan.is_skipped for n in (1, 5)] == [True, False]


def test_a_condition_that_is_known_skips_the_whole_sweep():
    text = sweep("kind: mapping, values: [{n: 1}]") + "conditions: 1 > 2\n"
    plan = compile_text(text).plan
    assert plan.is_skipped
    assert "conditions" not in plan.template


def test_a_default_keeps_its_value_when_a_param_only_says_how():
    text = (
        "kind: operation\nparams: {a: {toEnv: A}}\ncomponent: {inputs: [{name: a, type: int, value: 3}], "
        "run: {kind: job, container: {command: [x]}}}\n"
    )
    compiled = compile_text(text)
    assert compiled.params["a"] == 3
    assert [(v.name, v.value) for v in compiled.plan.container.env] == [("A", "3")]


def test_templates_within_a_structured_value_are_rendered():
    inputs = "[{name: a, value: 2}, {name: b, value: {x: ['{{ a }}', 1], y: n}}]"
    assert compile_text(job(inputs)).params["b"] == {"x": [2, 1], "y": "n"}


def test_env_of_a_distributed_run_goes_to_every_role():
    text = (
        "kind: component\ninputs: [{name: a, value: 1, toEnv: A}]\nrun:\n  kind: raycluster\n"
        "  head: {container: {image: i}}\n  workers: {w: {container: {image: i}}}\n"
    )
    run = compile_text(text).plan.run
    roles = (run.head, run.workers["w"])
    assert [[v.name for v in role.container.env] for role in roles] == [["A"], ["A"]]


def test_a_variable_of_the_container_wins_over_an_exported_param():
    text = job("[{name: a, value: 1, toEnv: A}]", "{command: [x], env: [{name: A, value: own}]}")
    values = [v.value for v in compile_text(text).plan.container.env]
    assert values == ["1", "own"]


@pytest.mark.parametrize(
    ("matrix", "io", "field", "rule"),
    [
        ("kind: grid, params: {n: {kind: range, value: [5, 1, 1]}}", "", "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: range, value: [0, 1, 1e-9]}}", "", "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: linspace, value: [5, 1, 3]}}", "", "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: datetimerange, value: ['2026-01-01T00:00:00Z', '2026-02-01T00:00:00', 60]}}", "",
         "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: datetimerange, value: ['2026-01-01', '2025-02-01', 60]}}", "",
         "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: datetimerange, value: ['2026-01-01', '2026-02-01', 0]}}", "",
         "matrix.params.n.value", "invalid_space"),
        ("kind: grid, params: {n: {kind: datetimerange, value: ['2000-01-01', '2026-02-01', 1]}}", "",
         "matrix.params.n.value", "invalid_space"),
        ("kind: random, numRuns: 0, params: {n: {kind: choice, value: [1]}}", "", "matrix.numRuns", "invalid_value"),
        ("kind: grid, params: {}", "", "matrix.params", "invalid_value"),
        ("kind: mapping, values: []", "", "matrix.values", "invalid_value"),
        ("kind: tpe, params: {n: {kind: choice, value: [1]}}, metric: {name: a}, metrics: [{name: b}]", "", "matrix", "missing_metric"),
        ("kind: grid, params: {n: {kind: uniform, value: [0, 1]}}", ", type: str", "matrix.params.n.kind", "invalid_space"),
    ],
)  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused(matrix, io, field, rule):
    found = issues_of(sweep(matrix, io))
    assert (found[0].field, found[0].rule) == (field, rule)


def test_objectives_of_a_sweep_are_its_metric_or_metrics():
    one = compile_text(
        sweep(
            "kind: cmaes, numRuns: 2, metric: {name: a}, params: {n: {kind: uniform, value: '0:1'}}"
        )
    )
    many = compile_text(
        sweep(
            "kind: nsga2, numRuns: 2, metrics: [{name: a}, {name: b}], params: {n: {kind: uniform, value: '0:1'}}"
        )
    )
    assert [m.name for m in one.plan.matrix.objectives] == ["a"]
    assert [m.name for m in many.plan.matrix.objectives] == ["a", "b"]


def test_a_sweep_of_templated_values_is_checked_when_they_are_known():
    text = "params: {rows: {value: [], contextOnly: true}}\n" + sweep(
        "kind: mapping, values: '{{ rows }}'", ", value: 0"
    )
    (issue,) = issues_of(text)
    assert (issue.rule, issue.field) == ("invalid_value", "matrix.values")
    assert compile_text(text, rows=[{"n": 1}]).plan.matrix.values == [{"n": 1}]
    assert [i.rule for i in issues_of(text, {"rows": "[1"})] == ["wrong_type"]


def test_references_are_read_before_anything_is_compiled():
    text = "kind: operation\nparams: {a: {ref: runs.x, value: outputs.y}}\ninputs: [{name: a}]\ncmd: x\n"
    with pytest.raises(SpecError) as caught:
        external_references(text.encode())
    assert caught.value.issues[0].rule == "invalid_reference"


def test_a_runtime_of_another_kind_replaces_that_of_the_component():
    text = (
        "kind: operation\nrun: {kind: service, ports: [80], container: {command: [serve]}}\n"
        "component: {run: {kind: job, container: {command: [x], args: [a]}}}\n"
    )
    plan = compile_text(text).plan
    assert (plan.runtime, plan.container.args) == ("service", None)


def test_null_in_a_layer_clears_a_field():
    text = (
        "kind: operation\nqueue: null\ntermination: {timeout: null}\ncomponent: {queue: gpu, "
        "termination: {timeout: 5, ttl: 6}, run: {kind: job, container: {command: [x]}}}\n"
    )
    plan = compile_text(text.replace("queue: null\n", "")).plan
    assert (plan.queue, plan.termination.timeout, plan.termination.ttl) == ("gpu", None, 6)


def test_a_step_may_be_a_sweep_whose_component_is_a_dag():
    text = """
kind: component
run:
  kind: dag
  operations:
    - name: all
      matrix: {kind: mapping, values: [{n: 1}]}
      component:
        inputs: [{name: n, type: int}]
        run:
          kind: dag
          operations:
            - {name: one, params: {n: {ref: dag, value: inputs.n}}, component: {inputs: [{name: n, type: int}], run: {kind: job, container: {command: [x, "{{ n }}"]}}}}
"""
    outer = ChildCompiler(compile_text(text).plan)
    assert outer.steps["all"].runtime == "matrix"
    trial = ChildCompiler(outer.compile({}, SCOPE, "all").plan).compile({"n": 4}, SCOPE)
    inner = ChildCompiler(trial.plan)
    assert inner.compile({"n": 4}, SCOPE, "one").plan.container.command == ["x", "4"]


def test_dags_within_dags_compile():
    nested = b"kind: component\nrun: " + b"{kind: dag, operations: [{name: a, component: {run: " * 6
    nested += b"{kind: job, container: {command: [x]}}" + b"}}]}" * 6
    assert ChildCompiler(compile_operation(nested, {}, SCOPE).plan).steps["a"].runtime == "dag"


def test_too_many_levels_of_components_are_refused():
    value = "[" * 40 + "1" + "]" * 40
    dag = "run:\n  kind: dag\n  operations:\n    - {name: s, hubRef: %s}\n"
    leaf = f"inputs: [{{name: a, value: {value}}}]\ncmd: x\n"
    library = Library(
        {**{f"c{n}": (dag % f"c{n + 1}").encode() for n in range(9)}, "c9": leaf.encode()}
    )
    compile_operation(b"kind: operation\nhubRef: c0\n", {}, SCOPE, library)


def test_params_of_a_hook_are_of_the_run_that_ended():
    text = "name: train\ncmd: x\nhooks: [{hubRef: h, params: {who: '{{ globals.name }}', uuid: '{{ globals.uuid }}'}}]\n"
    library = Library(
        {
            "h": b"name: hook\ninputs: [{name: who}, {name: uuid}]\ncmd: h {{ who }} {{ globals.name }} {{ uuid }}\n"
        }
    )
    plan = compile_operation(text.encode(), {}, SCOPE, library).plan
    ended = replace(SCOPE, run_id=UUID(int=7))
    hook = ChildCompiler(plan).compile_hook(0, SCOPE, {}, ended)
    assert hook.plan.container.args == [f"set -e\nh train h {UUID(int=7)}"]


def test_a_hook_s_template_that_fails_is_told():
    text = "cmd: x\noutputs: [{name: a}]\nhooks: [{hubRef: slack, params: {t: ['{{ a + 1 }}', {b: 1}]}}]\n"
    compiler = ChildCompiler(compile_text(text).plan)
    assert compiler.compile_hook(0, SCOPE, {"a": 1}).params["t"] == [2, {"b": 1}]
    with pytest.raises(SpecError) as caught:
        compiler.compile_hook(0, SCOPE, {"a": "x"})
    (issue,) = caught.value.issues
    assert (issue.field, issue.rule) == ("hooks[0].params.t", "template_error")


def _dag(lines):
    head = "kind: component\nrun:\n  kind: dag\n  components: [{name: c, run: {kind: job, container: {command: [x]}}}]\n  operations:\n"
    return head + "".join(f"    - {{{line}}}\n" for line in lines)


def test_thousands_of_unknown_steps_are_told_in_a_bounded_answer():
    found = issues_of(_dag(f"name: s{n}, dagRef: c, dependencies: [t{n}]" for n in range(1_500)))
    assert len(found) == 100
    assert {issue.rule for issue in found} == {"unknown_step"}


def test_thousands_of_circles_are_told_in_a_bounded_answer():
    found = issues_of(_dag(f"name: s{n}, dagRef: c, dependencies: [s{n}]" for n in range(1_500)))
    assert [issue.rule for issue in found] == ["cyclic_dependency"] * 10


def test_thousands_of_swept_params_are_refused():
    params = ", ".join(f"p{n}: {{kind: choice, value: [1]}}" for n in range(2_000))
    found = issues_of("kind: operation\nmatrix: {kind: grid, params: {" + params + "}}\ncmd: x\n")
    assert [(issue.field, issue.rule) for issue in found] == [("matrix.params", "invalid_value")]


def test_a_component_that_many_steps_use_is_read_once():
    steps = _dag(f"name: s{n}, hubRef: big" for n in range(200))
    big = b"description: " + b"x" * 15_000 + b"\ncmd: x\n"
    plan = compile_operation(steps.encode(), {}, SCOPE, Library({"big": big})).plan
    assert len(plan.run.operations) == 200


def test_thousands_of_unknown_names_are_told_in_a_bounded_answer():
    inputs = ", ".join(f"{{name: aaa{n}, value: 1}}" for n in range(400))
    names = " + ".join(f"abb{n}" for n in range(100))
    words = ", ".join([f"'{{{{ {names} }}}}'"] * 200)
    assert len(issues_of(job(f"[{inputs}]", "{command: [" + words + "]}"))) == 100
    wrong = ", ".join(f"{{name: b{n}, value: '{{{{ {names} }}}}'}}" for n in range(300))
    assert len(issues_of(job(f"[{inputs}, {wrong}]"))) == 100
    steps = (f"name: s{n}, component: {{cmd: '{{{{ {names} }}}}'}}" for n in range(300))
    assert len(issues_of(_dag(steps))) == 100


def test_an_agent_reads_plans_without_what_only_compiling_needs():
    code = (
        "import sys, epochal_scheduler.spec.compiled\n"
        "print(sorted({'jinja2', 'yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "kept"),
    [(float("inf"), "Infinity"), (float("-inf"), "-Infinity"), (float("nan"), "NaN")],
)
def test_numbers_that_json_has_not_are_kept_as_text(given, kept):
    text = job("[{name: a, isOptional: true}, {name: b, value: '{{ [1e308 * 10] }}'}]")
    compiled = compile_text(text, a={"x": [given]})
    assert compiled.params == {"a": {"x": [kept]}, "b": ["Infinity"]}


def test_a_number_with_bounds_may_be_a_template():
    text = "cmd: x\nparams: {f: {value: 3, contextOnly: true}}\nretry: {backoff: {factor: '{{ f }}'}}\n"
    assert compile_text(text).plan.retry.backoff.factor == 3
    assert [i.field for i in issues_of(text, {"f": 0})] == ["retry.backoff.factor"]
