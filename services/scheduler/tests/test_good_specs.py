# ruff: noqa: E501 - a row of a table is easier to read on one line
"""What a good spec compiles to."""

import json

import pytest
from spec_samples import compile_text, issues_of, job

FULL = """
version: 1.1
kind: operation
name: train
description: the {{ lr }} run
tags: [demo, "{{ globals.project_name }}"]
queue: gpu
presets: [small]
cache: {disable: false, ttl: 86400, io: [lr], sections: [containers, init]}
termination: {maxRetries: "{{ retries }}", timeout: 3600, ttl: 600}
plugins: {collectLogs: true, notifications: [{connections: [slack], trigger: done}]}
hooks: [{hubRef: notifier, connection: slack, trigger: failed}]
build: {hubRef: kaniko, connection: registry, params: {destination: {value: org/img:tag}}}
params:
  epochs: 10
  retries: {value: 2, contextOnly: true}
  out: "{{ globals.run_outputs_path }}/x"
  lr: 1e-3
  shape: {value: "[1, 2]"}
component:
  kind: component
  inputs:
    - {name: lr, type: float, value: 0.01, validation: {gt: 0, lt: 1}, toEnv: LR}
    - {name: epochs, type: int, toEnv: EPOCHS}
    - {name: out, type: path}
    - {name: shape, type: "List[int]", toEnv: SHAPE}
    - {name: names, type: "list", value: [a, b]}
    - {name: verbose, type: bool, isFlag: true, value: true}
    - {name: seed, type: int, isOptional: true}
    - {name: tag, type: str, value: x, argFormat: "-t {{ tag }}"}
  outputs: [{name: loss, type: float}]
  run:
    kind: job
    environment: {nodeSelector: {gpu: a100}, tolerations: [], restartPolicy: Never}
    connections: [datasets]
    init: [{git: {url: "https://example.org/x.git", revision: main}}, {artifactRef: "proj:v1"}]
    container:
      image: img:tag
      command: [python, train.py]
      args: ["--rate={{ lr * 10 }}", "{{ params.as_args }}", "{{ names }}", 3, true, 1e-3]
      env: [{name: RUN, value: "{{ globals.uuid }}"}, {name: N, value: 5}]
      resources: {limits: {nvidia.com/gpu: 1}}
"""


def test_an_operation_compiles_whole():
    compiled = compile_text(FULL, epochs="20")
    plan = compiled.plan
    assert (plan.name, plan.queue, plan.tags) == ("train", "gpu", ["demo", "vision"])
    assert plan.description == "the 0.001 run"
    assert (compiled.max_retries, compiled.timeout_s) == (2, 3600)
    assert plan.run.container.args == [
        "--rate=0.01", "--lr=0.001", "--epochs=20", "--out=$(EPOCHAL_RUN_OUTPUTS_PATH)/x",
        "--shape=[1,2]", '--names=["a","b"]', "--verbose", "-t x", "a", "b", "3", "true", "0.001",
    ]  # fmt: skip
    env = {variable.name: variable.value for variable in plan.run.container.env or ()}
    run_id = "0193a000-0000-7000-8000-000000000001"
    assert env == {"LR": "0.001", "EPOCHS": "20", "SHAPE": "[1,2]", "RUN": run_id, "N": "5"}
    assert compiled.params["epochs"] == 20
    assert compiled.params["retries"] == 2
    assert "seed" not in compiled.params


def test_canonical_json_reads_back_and_its_digest_is_stable():
    one, two = compile_text(FULL), compile_text(FULL)
    assert one.digest == two.digest
    assert one.digest.startswith("sha256:")
    assert one.plan.from_json(one.canonical_json) == one.plan
    assert json.loads(one.canonical_json)["kind"] == "compiled_operation"
    assert compile_text(FULL, lr=0.5).digest != one.digest


def test_what_has_no_effect_is_kept_and_told():
    compiled = compile_text(FULL)
    told = {issue.field for issue in compiled.warnings}
    assert told == {
        "presets[0]", "build", "component.run.environment", "component.run.container.image",
        "component.run.container.resources",
    }  # fmt: skip
    assert all(issue.mark.line for issue in compiled.warnings)
    kept = json.loads(compiled.canonical_json)
    assert kept["run"]["init"][0]["git"]["revision"] == "main"
    assert kept["build"]["hubRef"] == "kaniko"
    assert kept["run"]["environment"]["nodeSelector"] == {"gpu": "a100"}


def test_an_undeclared_param_is_a_warning_unless_strict():
    text = (
        "kind: operation\nparams: {lrr: 1}\ncomponent: {inputs: [{name: lr, value: 1}], "
        "run: {kind: job, container: {command: ['{{ lrr }}']}}}\n"
    )
    (warning,) = compile_text(text).warnings
    assert (warning.rule, warning.field) == ("undeclared_param", "params.lrr")
    assert "did you mean 'lr'?" in warning.message


def test_a_caller_s_value_is_data_not_a_template():
    compiled = compile_text(job("[{name: a}]", "{command: ['{{ a }}']}"), a="{{ globals.uuid }}")
    assert compiled.plan.run.container.command == ["{{ globals.uuid }}"]


def test_snake_case_is_read_and_camel_case_is_written():
    compiled = compile_text(job(more="termination: {max_retries: 1}\n"))
    assert json.loads(compiled.canonical_json)["termination"] == {"maxRetries": 1}


def test_a_condition_that_is_false_skips():
    text = (
        "kind: operation\nconditions: '{{ lr > 1 }}'\ncomponent: {inputs: [{name: lr, value: 1}], "
        "run: {kind: job, container: {command: [x]}}}\n"
    )
    assert compile_text(text).plan.is_skipped
    assert not compile_text(text, lr=2).plan.is_skipped
    assert compile_text(text.replace("'{{ lr > 1 }}'", "lr > 1")).plan.is_skipped
    assert not compile_text(text.replace("'{{ lr > 1 }}'", "'{{ lr > 0 }} '")).plan.is_skipped


def test_the_flat_form_becomes_a_job():
    compiled = compile_text(
        "version: 1.1\nname: flat\ncmd: [echo a, echo b]\nenv: [{name: A, value: 1}]\n"
        "resources: {cpu: '1..2', memory: 512Mi, gpu: 1}\ncontainer: {image: x}\n"
    )
    container = compiled.plan.run.container
    assert container.command == ["/bin/sh", "-c"]
    assert container.args == ["set -e\necho a\necho b"]
    assert container.resources == {
        "requests": {"cpu": "1", "memory": "512Mi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "2", "nvidia.com/gpu": "1"},
    }


def test_the_flat_form_of_an_operation_takes_params():
    compiled = compile_text(
        "kind: operation\nparams: {a: 2}\ninputs: [{name: a, type: int}]\ncmd: 'echo {{ a }}'\n"
    )
    assert compiled.plan.run.container.args == ["set -e\necho 2"]


def test_a_container_without_a_command_is_told():
    (first, second) = compile_text(job(container="{image: busybox}")).warnings
    assert {first.rule, second.rule} == {"not_honoured", "missing_command"}


def test_aliases_and_merges_are_written_out():
    compiled = compile_text(
        "version: 1.1\nkind: component\nrun:\n  kind: job\n  container:\n    command: [x]\n"
        "    env:\n      - &one {name: A, value: 1}\n      - {<<: *one, name: B}\n"
    )
    env = compiled.plan.run.container.env or []
    assert [(variable.name, variable.value) for variable in env] == [("A", "1"), ("B", "1")]


def test_a_byte_order_mark_is_no_error():
    assert compile_text(b"\xef\xbb\xbf" + job().encode()).plan.queue == "default"


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", "3", 3), ("int", 3.0, 3), ("float", "1e-3", 0.001), ("float", 2, 2.0),
        ("float", ".5", 0.5), ("float", "NaN", "NaN"), ("float", "-inf", "-Infinity"),
        ("bool", "yes", True), ("bool", 0, False), ("str", 1.5, "1.5"), ("str", True, "true"),
        ("dict", '{"a": 1}', {"a": 1}), ("list", "[1]", [1]), ("List[float]", [1, "2"], [1.0, 2.0]),
        ("Dict[str, int]", {"a": "1"}, {"a": 1}), ("Optional[int]", None, None),
        ("Union[int, str]", "x", "x"), ("Tuple[int, str]", [1, "a"], [1, "a"]), ("any", [1], [1]),
        ("dict_of_dicts", {"a": {"b": 1}}, {"a": {"b": 1}}), ("uri", "http://x", "http://x"),
        ("gcs", "gs://b/x", "gs://b/x"), ("s3", "s3://b", "s3://b"), ("wasb", "wasbs://b", "wasbs://b"),
        ("git", {"url": "x"}, {"url": "x"}), ("image", "a:b", "a:b"), ("date", "2026-01-31", "2026-01-31"),
        ("datetime", "2026-01-31T08:00:00+00:00", "2026-01-31T08:00:00+00:00"), ("metric", 1, 1.0),
        ("path", "/x", "/x"), ("auth", "u:p", "u:p"), ("artifacts", {"files": []}, {"files": []}),
        ("typing.List[int]", [1], [1]),
    ],
)  # fmt: skip
def test_values_become_what_their_type_says(kind, given, value):
    text = job(f"[{{name: a, type: '{kind}', isOptional: true}}]")
    got = compile_text(text, a=given).params.get("a")
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", 1.5), ("int", True), ("int", "1.5"), ("float", "x"), ("float", True), ("bool", 2),
        ("bool", "maybe"), ("str", [1]), ("dict", "[1]"), ("list", "x"), ("List[int]", ["x"]),
        ("Tuple[int]", [1, 2]), ("Union[int, bool]", "x"), ("gcs", "s3://x"), ("date", "31.1.2026"),
        ("datetime", "x"), ("dict_of_dicts", {"a": 1}), ("git", 1), ("Dict[str, int]", {"a": "x"}),
        ("List[int]", "[1"), ("uri", 4),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(kind, given):
    found = issues_of(job(f"[{{name: a, type: '{kind}'}}]"), {"a": given})
    assert [(i.rule, i.field) for i in found] == [("wrong_type", "params.a")]


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        ("{gt: 1}", 2, 1), ("{ge: 1}", 1, 0), ("{lt: 1}", 0, 1), ("{le: 1}", 1, 2),
        ("{multipleOf: 0.1}", 0.3, 0.35), ("{minDigits: 3}", 123, 12), ("{maxDigits: 2}", 12, 123),
        ("{decimalPlaces: 2}", 1.25, 1.125), ("{regex: 'a+$'}", "aaa", "ab"), ("{regex: b}", "b", "ab"),
        ("{minLength: 2}", "ab", "a"), ("{maxLength: 2}", "ab", "abc"), ("{contains: b}", "abc", "ac"),
        ("{excludes: b}", "ac", "abc"), ("{contains: 1}", [1, 2], [2]), ("{excludes: [1, 3]}", [2], [3]),
        ("{options: [1, 2]}", 1, 3), ("{minItems: 2}", [1, 2], [1]), ("{maxItems: 1}", [1], [1, 2]),
        ("{keys: [a]}", {"a": 1}, {"b": 1}), ("{containsKeys: [a]}", {"a": 1, "b": 2}, {"b": 1}),
        ("{excludesKeys: [a]}", {"b": 1}, {"a": 1}), ("{gt: 0}", [1, 2], [1, 0]),
    ],
)  # fmt: skip
def test_rules_of_v1_validation_are_kept(rules, good, bad):
    text = job(f"[{{name: a, validation: {rules}}}]")
    assert compile_text(text, a=good).params["a"] == good
    assert [i.rule for i in issues_of(text, {"a": bad})] == ["invalid_value"]


def test_the_old_options_and_is_list_still_hold():
    text = job("[{name: a, type: int, isList: true, options: [1, 2]}]")
    assert compile_text(text, a=["1", 2]).params["a"] == [1, 2]
    assert issues_of(text, {"a": [3]})
