# ruff: noqa: E501 - a row of a table is easier to read on one line
"""Children of pipelines, references, layers and registries: what the corpus does not show."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from epochal_scheduler.spec.children import ChildCompiler, Need, render_join
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.spec.compiling import compile_operation, external_references
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.library import Library, References, collect_references
from epochal_scheduler.spec.references import resolve_reference
from spec_samples import SCOPE, compile_text

VIEW = {
    "globals": {"status": "succeeded", "uuid": "u1"},
    "inputs": {"lr": 0.1},
    "outputs": {"loss": 0.5, "path": "/x"},
    "artifacts": {"base": "/store/u1", "outputs": "/store/u1/outputs", "model.pkl": "/store/u1/m"},
}
DAG = """
version: 1.1
kind: component
run:
  kind: dag
  operations:
    - name: a
      component: {outputs: [{name: x, type: int}], run: {kind: job, container: {command: [a]}}}
    - name: b
      dependencies: [a]
      events: [{ref: ops.a, kinds: [run_status_running, run_status_failed]}]
      params: {x: {ref: ops.a, value: outputs.x}, y: 2}
      component:
        inputs: [{name: x, type: int, value: 7}, {name: y, type: int}]
        run: {kind: job, container: {command: [b, "{{ x }}", "{{ globals.step }}", "{{ globals.pipeline }}"]}}
"""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outputs", "loss"), 0.5), (("inputs",), {"lr": 0.1}), (("globals", "status"), "succeeded"),
        (("artifacts", "base"), "/store/u1"), (("artifacts", "model.pkl"), "/store/u1/m"), (("io", "lr"), 0.1),
        (("io",), {"lr": 0.1, "loss": 0.5, "path": "/x"}), (("io", "loss"), 0.5),
        (("artifacts", '{"files":["a",["b","c"]],"workers":2}'), {"files": ["/store/u1/a", ["/store/u1/b", "c"]], "workers": 2}),
    ],
)  # fmt: skip
def test_a_reference_finds_its_value(path, value):
    assert resolve_reference(path, VIEW) == value


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (("outputs", "lss"), "the run has no outputs.lss; did you mean 'loss'?"),
        (("outputs", "loss", "x"), "the run has no outputs.loss.x"),
        (("output",), "the run has no section 'output'; did you mean 'outputs'?"),
    ],
)
def test_a_reference_to_nothing_is_told_with_what_there_is(path, hint):
    with pytest.raises(SpecError) as caught:
        resolve_reference(path, VIEW)
    (issue,) = caught.value.issues
    assert (issue.rule, issue.message) == ("unresolved_reference", hint)


def test_a_step_knows_what_it_needs_and_may_be_told_of_its_pipeline():
    compiler = ChildCompiler(compile_text(DAG).plan)
    assert list(compiler.steps) == ["a", "b"]
    assert compiler.steps["b"].needs == (Need("a"), Need("a", ("running", "failed")))
    child = compiler.compile({"x": 1}, replace(SCOPE, pipeline="p1"), "b")
    assert child.plan.container.command == ["b", "1", "b", "p1"]


def test_a_reference_without_a_value_falls_back_to_the_default():
    child = ChildCompiler(compile_text(DAG).plan).compile({}, SCOPE, "b")
    assert child.params["x"] == 7


def test_a_step_that_does_not_exist_is_told():
    with pytest.raises(SpecError) as caught:
        ChildCompiler(compile_text(DAG).plan).compile({}, SCOPE, "bb")
    assert caught.value.issues[0].rule == "unknown_step"


def test_a_value_that_does_not_fit_is_told_without_a_place():
    with pytest.raises(SpecError) as caught:
        ChildCompiler(compile_text(DAG).plan).compile({"x": "many"}, SCOPE, "b")
    (issue,) = caught.value.issues
    assert (issue.rule, issue.field, issue.mark.line) == ("wrong_type", "params.x", 0)


def test_a_plain_job_has_no_children():
    compiler = ChildCompiler(compile_text("cmd: echo").plan)
    assert (dict(compiler.steps), compiler.references, compiler.joins) == ({}, (), ())


def test_children_of_a_plan_read_back_are_the_same():
    plan = compile_text(DAG).plan
    text = compile_text(DAG).canonical_json
    one = ChildCompiler(plan).compile({"x": 1}, SCOPE, "b")
    other = ChildCompiler(OperationPlan.from_json(text)).compile({"x": 1}, SCOPE, "b")
    assert one.digest == other.digest


def test_a_schedule_s_children_know_their_tick():
    text = (
        "kind: operation\nschedule: {kind: cron, cron: '@daily'}\n"
        "component: {run: {kind: job, container: {command: ['{{ globals.schedule_at }}']}}}\n"
    )
    scope = replace(SCOPE, schedule_at=datetime(2026, 3, 1, tzinfo=UTC))
    child = ChildCompiler(compile_text(text).plan).compile({}, scope)
    assert child.plan.container.command == ["2026-03-01T00:00:00+00:00"]


def test_a_schedule_s_children_look_up_for_themselves():
    text = (
        "kind: operation\nschedule: {kind: cron, cron: '@daily'}\n"
        "params: {a: {ref: runs.0193a000-0000-7000-8000-0000000000aa, value: outputs.x}}\n"
        "joins: [{query: 'name:{{ globals.step }}', limit: '{{ n }}', params: {all: outputs.x}}]\n"
        "component: {inputs: [{name: a}, {name: all}], run: {kind: job, container: {command: [x]}}}\n"
    )
    assert external_references(text.encode()) == ((), ())
    compiler = ChildCompiler(compile_text(text).plan)
    assert [(r.param, r.entity, r.path) for r in compiler.references] == [
        ("a", "runs", ("outputs", "x"))
    ]
    (join,) = compiler.joins
    rendered = render_join(join, replace(SCOPE, step="s"), {"n": 3})
    assert (rendered.query, rendered.limit, rendered.params) == (
        "name:s",
        3,
        {"all": ("outputs", "x")},
    )


@pytest.mark.parametrize(("params", "rule"), [({}, "unknown_name"), ({"n": "x"}, "wrong_type")])
def test_a_join_that_cannot_be_rendered_is_told(params, rule):
    text = (
        "kind: operation\nschedule: {kind: cron, cron: '@daily'}\n"
        "joins: [{query: a, limit: '{{ n }}', params: {all: outputs.x}}]\n"
        "component: {inputs: [{name: all}], run: {kind: job, container: {command: [x]}}}\n"
    )
    (join,) = ChildCompiler(compile_text(text).plan).joins
    with pytest.raises(SpecError) as caught:
        render_join(join, SCOPE, params)
    assert caught.value.issues[0].rule == rule


def test_references_of_a_single_operation_are_told_before_it_is_compiled():
    text = (
        "kind: operation\n"
        "params: {a: {ref: runs.0193a000-0000-7000-8000-0000000000aa, value: artifacts.model.pkl}}\n"
        "component: {inputs: [{name: a}], run: {kind: job, container: {command: ['{{ a }}']}}}\n"
    )
    ((reference,), ()) = external_references([text.encode()])
    assert reference.name == "0193a000-0000-7000-8000-0000000000aa"
    assert reference.path == ("artifacts", "model.pkl")
    compiled = compile_operation(text.encode(), {}, SCOPE, resolved={"a": "/m"})
    assert compiled.plan.container.command == ["/m"]


def test_all_that_must_be_fetched_is_collected():
    text = b"""
kind: operation
hubRef: org/train:v1
presets: [gpu, "{{ templated }}"]
hooks: [{hubRef: slack, presets: [p]}, short]
build: {hub_ref: kaniko}
matrix: {tuner: {hubRef: tuner}}
component:
  pathRef: ./a.yaml
  run:
    operations: [{urlRef: "https://x/y.yaml"}, {component: {presets: single}}]
    components: [{hubRef: inner}]
"""
    found = collect_references([text, b"hubRef: more\n"])
    assert found.hub == {"org/train:v1", "slack", "short", "kaniko", "tuner", "inner", "more"}
    assert (found.paths, found.urls) == ({"./a.yaml"}, {"https://x/y.yaml"})
    assert found.presets == {"gpu", "p", "single"}
    assert bool(found | References())
    assert not References()


@pytest.mark.parametrize(
    ("stored", "asked", "organization"),
    [
        ("train", "train", ""), ("train", "train:latest", ""), ("train:latest", "train", ""),
        ("acme/train:v1", "train:v1", "acme"), ("train:v1", "acme/train:v1", "acme"),
        ("acme/train", "acme/train:latest", ""), ("acme/train:latest", "train", "acme"),
    ],
)  # fmt: skip
def test_a_component_is_found_by_every_way_to_write_its_name(stored, asked, organization):
    library = Library({stored: b"x"}, {}, organization)
    assert library.component("hubRef", asked) == b"x"


@pytest.mark.parametrize(
    ("stored", "asked"), [("train:v1", "train"), ("train", "train:v1"), ("a/train", "b/train")]
)
def test_another_tag_or_organization_is_another_component(stored, asked):
    assert Library({stored: b"x"}).component("hubRef", asked) is None


def test_budgets_of_retries_win_over_the_old_count():
    text = "cmd: x\ntermination: {maxRetries: 2, timeout: 9}\nretry: {user: 5}\n"
    compiled = compile_text(text)
    assert (compiled.max_retries, compiled.timeout_s) == (5, 9)


def test_what_a_caller_gives_reaches_children_as_data():
    text = (
        "kind: operation\nmatrix: {kind: mapping, values: [{n: 1}]}\ncomponent: {inputs: [{name: n}, "
        "{name: t}], run: {kind: job, container: {command: ['{{ t }}', '{{ n }}']}}}\n"
    )
    plan = compile_text(text, t="{{ n }}").plan
    assert ChildCompiler(plan).compile({"n": "{{ t }}"}, SCOPE).plan.container.command == [
        "{{ n }}", "{{ t }}",
    ]  # fmt: skip


def test_a_hook_that_wants_no_defaults_gets_none():
    text = "cmd: x\ninputs: [{name: a, value: 1}]\nhooks: [{hubRef: h, disableDefaults: true, params: {t: 2}}]\n"
    library = Library({"h": b"inputs: [{name: t}, {name: a, value: 0}]\ncmd: h {{ t }} {{ a }}\n"})
    plan = compile_operation(text.encode(), {}, SCOPE, library).plan
    hook = ChildCompiler(plan).compile_hook(0, SCOPE, {"b": 1})
    assert hook.plan.container.args == ["set -e\nh 2 0"]


def test_a_hook_is_told_how_the_run_ended():
    text = "cmd: x\nhooks: [{hubRef: slack, connection: c, conditions: \"status == 'failed'\"}]\n"
    compiler = ChildCompiler(compile_text(text).plan)
    ended = compiler.compile_hook(0, replace(SCOPE, status="failed"))
    assert (ended.plan.run.kind, ended.plan.is_skipped) == ("notifier", False)
    assert compiler.compile_hook(0, replace(SCOPE, status="succeeded")).plan.is_skipped


def test_components_cannot_multiply_for_ever():
    def dag(inner):
        steps = "".join(f"    - {{name: s{n}, hubRef: {inner}}}\n" for n in range(40))
        return f"run:\n  kind: dag\n  operations:\n{steps}".encode()

    library = Library({"a": dag("b"), "b": dag("c"), "c": dag("d"), "d": b"cmd: x\n"})
    with pytest.raises(SpecError) as caught:
        compile_operation(b"kind: operation\nhubRef: a\n", {}, SCOPE, library)
    assert caught.value.issues[0].rule == "too_many_nodes"


def test_a_place_in_a_component_of_the_registry_is_told_with_its_name():
    library = Library({"a": b"inputs: [{name: n, type: in}]\ncmd: x\n"})
    with pytest.raises(SpecError) as caught:
        compile_operation(
            [b"kind: operation\nhubRef: a\n", b"isPreset: true\n"], {}, SCOPE, library
        )
    issue = caught.value.issues[0]
    assert (issue.source, issue.field) == (2, "inputs[0].type")
    assert issue.message.startswith("in component 'a': ")


def test_presets_that_a_later_file_names_are_laid_under_that_file():
    first = b"run: {kind: job, container: {command: [a]}}\nqueue: first"
    second = b"kind: operation\nisPreset: true\npresets: [gpu]\ncost: 2"
    preset = b"kind: operation\nisPreset: true\nqueue: gpu\ncost: 1"
    library = Library(presets={"gpu": preset})
    plan = compile_operation([first, second], {}, SCOPE, library).plan
    assert (plan.queue, plan.cost) == ("gpu", 2)
