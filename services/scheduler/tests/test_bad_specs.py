# ruff: noqa: E501 - a row of a table is easier to read on one line
"""Every bad spec is refused with its rule, its line and a way to mend it."""

import pytest
from epochal_kernel.errors import from_status, to_status
from epochal_scheduler.spec.issues import SpecError
from spec_samples import compile_text, issues_of, job

BASE = "version: 1.1\nkind: component\nrun: {kind: job, container: {command: [x]}}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
TABLE = [
    ("empty file", b"", "empty", "", 0),
    ("comment only", b"# nothing\n", "empty", "", 0),
    ("a list", "- a\n- b\n", "wrong_type", "", 1),
    ("not YAML", "version: 1.1\nrun: [a, {b: c]\n", "yaml_syntax", "", 2),
    ("tab as indent", "a:\n\tb: c\n", "yaml_syntax", "", 2),
    ("a control character", "name: 'a\x07b'\n", "yaml_syntax", "", 1),
    ("two documents", BASE + "---\na: b\n", "many_documents", "", 4),
    ("duplicate key", "version: 1.1\nname: a\nname: b\n", "duplicate_key", "name", 3),
    ("duplicate nested key", BASE + "cache:\n  ttl: 1\n  ttl: 2\n", "duplicate_key", "ttl", 6),
    ("key is a list", "? [a, b]\n: c\n", "wrong_key", "", 1),
    ("python tag", "name: !!python/object/apply:os.system [ls]\n", "unsafe_tag", "", 1),
    ("custom tag on scalar", "name: !secret abc\n", "unsafe_tag", "", 1),
    ("not UTF-8", b"version: 1.1\nname: \xff\xfe\n", "not_utf8", "", 2),
    ("UTF-16", "version: 1.1".encode("utf-16"), "not_utf8", "", 1),
    ("too large", b"a: " + b"x" * (1024 * 1024), "too_large", "", 0),
    ("too deep", "a: " + "[" * 60 + "]" * 60, "too_deep", "", 1),
    ("very deep", "a: " + "[" * 200_000, "too_deep", "", 1),
    ("too many values", "a: [" + "1," * 60_000 + "]", "too_many_nodes", "", 1),
    ("billion laughs", BOMB, "alias_bomb", "", 5),
    ("merge bomb", "a: &a {x: 1}\nb: {<<: [" + "*a," * 30_000 + "]}", "alias_bomb", "", 2),
    ("cyclic alias", "a: &a [1, *a]\n", "cyclic_alias", "", 1),
    ("cyclic mapping", "a: &a\n  b: *a\n", "cyclic_alias", "", 2),
    ("unknown alias", "a: *nope\n", "unknown_alias", "", 1),
    ("merge of a scalar", "<<: 1\n", "wrong_type", "<<", 1),
    ("endless number", "a: " + "9" * 5000, "too_large", "", 1),
    ("unknown kind", "kind: componnent\n", "unknown_kind", "kind", 1),
    ("kind is a list", "kind: [a]\n", "unknown_kind", "kind", 1),
    ("bad version", BASE.replace("1.1", "2.0"), "unsupported_version", "version", 1),
    ("no run", "version: 1.1\nkind: component\n", "missing_field", "run", 1),
    ("no component", "version: 1.1\nkind: operation\nname: a\n", "missing_field", "component", 1),
    ("no container", "kind: component\nrun: {kind: job}\n", "missing_field", "run.container", 2),
    ("unknown field", BASE + "quue: a\n", "unknown_field", "quue", 4),
    ("unknown env field", BASE.replace("[x]", "[x], env: [{nam: A, name: B}]"), "unknown_field",
     "run.container.env[0].nam", 3),
    ("unknown run kind", BASE.replace("job", "jobb"), "unknown_kind", "run.kind", 3),
    ("empty dag", "kind: component\nrun: {kind: dag, operations: []}\n", "invalid_value",
     "run.operations", 2),
    ("service without container", "kind: component\nrun: {kind: service, ports: [80]}\n",
     "missing_field", "run.container", 2),
    ("matrix without params", "kind: operation\nmatrix: {kind: grid}\ncomponent: {run: {kind: job, "
     "container: {command: [x]}}}\n", "missing_field", "matrix.params", 2),
    ("schedule without cron", "kind: operation\nschedule: {kind: cron}\ncomponent: {run: {kind: job, "
     "container: {command: [x]}}}\n", "missing_field", "schedule.cron", 2),
    ("hub reference", "kind: operation\nhubRef: org/a:b\n", "unknown_component", "hubRef", 2),
    ("template", BASE + "template: {enabled: true}\n", "template_not_filled", "template.enabled", 4),
    ("text for a list", BASE.replace("[x]", "x"), "wrong_type", "run.container.command", 3),
    ("text for a number", BASE + "termination:\n  maxRetries: many\n", "wrong_type",
     "termination.maxRetries", 5),
    ("negative retries", BASE + "termination: {maxRetries: -1}\n", "invalid_value",
     "termination.maxRetries", 4),
    ("number for text", BASE + "name: 12\n", "wrong_type", "name", 4),
    ("list for a mapping", BASE + "termination: []\n", "wrong_type", "termination", 4),
    ("not a number", BASE + "cost: .nan\n", "not_finite", "cost", 4),
    ("bad queue", BASE + "queue: 'a b'\n", "invalid_value", "queue", 4),
    ("bad restart policy", BASE.replace("kind: job,", "kind: job, environment: {restartPolicy: Nevr},"),
     "unknown_value", "run.environment.restartPolicy", 3),
    ("bad input name", job("[{name: 'a b'}]"), "invalid_value", "inputs[0].name", 3),
    ("unknown type", job("[{name: a, type: flaot, value: 1}]"), "unknown_type", "inputs[0].type", 3),
    ("unclosed type", job("[{name: a, type: 'List[int', value: []}]"), "unknown_type",
     "inputs[0].type", 3),
    ("bare generic", job("[{name: a, type: Optional, value: 1}]"), "unknown_type",
     "inputs[0].type", 3),
    ("same name twice", job("[{name: a, value: 1}, {name: a, value: 2}]"), "duplicate_name",
     "inputs[1].name", 3),
    ("missing param", job("[{name: a, type: int}]"), "missing_param", "inputs[0]", 3),
    ("missing untyped param", job("[{name: a}]"), "missing_param", "inputs[0]", 3),
    ("wrong default", job("[{name: a, type: int, value: x}]"), "wrong_type", "inputs[0].value", 3),
    ("broken rule", job("[{name: a, type: int, value: 0, validation: {gt: 0}}]"), "invalid_value",
     "inputs[0].value", 3),
    ("bad regex", job("[{name: a, type: str, value: x, validation: {regex: '('}}]"),
     "invalid_value", "inputs[0].value", 3),
    ("look-around", job("[{name: a, type: str, value: x, validation: {regex: '(?=x)'}}]"),
     "invalid_value", "inputs[0].value", 3),
    ("cycle of two", job("[{name: a, value: '{{ b }}'}, {name: b, value: '{{ a }}'}]"),
     "cyclic_reference", "inputs[0].value", 3),
    ("cycle of one", job("[{name: a, value: '{{ params.a.value }}'}]"), "cyclic_reference",
     "inputs[0].value", 3),
    ("unknown name in a param", job("[{name: a, value: '{{ lrr }}'}]"), "unknown_name",
     "inputs[0].value", 3),
    ("unknown name", job("[{name: lr, value: 1}]", "{command: ['{{ lrr }}']}"), "unknown_name",
     "run.container.command[0]", 6),
    ("unknown global", job(container="{command: ['{{ globals.uid }}']}"), "unknown_name",
     "run.container.command[0]", 6),
    ("statement", job(container="{command: ['{{ 1 }}{% for x in [1] %}{% endfor %}']}"),
     "template_syntax", "run.container.command[0]", 6),
    ("unclosed template", job(container="{command: ['{{ a']}"), "template_syntax",
     "run.container.command[0]", 6),
    ("template of a dunder", job("[{name: a, value: x}]", "{command: ['{{ a.__class__ }}']}"),
     "template_error", "run.container.command[0]", 6),
    ("text times number", job("[{name: a, value: x}]", "{command: ['{{ a * 1000000000 }}']}"),
     "template_error", "run.container.command[0]", 6),
    ("huge power", job(container="{command: ['{{ 9 ** 9 ** 9 }}']}"), "template_error",
     "run.container.command[0]", 6),
    ("unknown filter", job(container="{command: ['{{ 1 | center(9) }}']}"), "template_error",
     "run.container.command[0]", 6),
    ("division by zero", job(container="{command: ['{{ 1 / 0 }}']}"), "template_error",
     "run.container.command[0]", 6),
    ("deep template", job(container="{command: ['{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}']}"),
     "too_large", "run.container.command[0]", 6),
    ("long template", job(container="{command: ['{{ 1 }}" + "x" * 20000 + "']}"), "too_large",
     "run.container.command[0]", 6),
    ("nothing to run", job(container="{name: main}"), "missing_command", "run.container.command", 6),
    ("reference to a run", "kind: operation\nparams:\n  a: {ref: ops.x, value: outputs.y}\n"
     "component: {inputs: [{name: a}], run: {kind: job, container: {command: [x]}}}\n",
     "outside_dag", "params.a.ref", 3),
    ("wrong type after rendering", job("[{name: a, value: x}]",
     "{command: [x]}", "termination: {timeout: '{{ a }}'}\n"), "wrong_type", "termination.timeout", 7),
    ("strict params", "kind: operation\nstrictParams: true\nparams: {lrr: 1}\ncomponent: "
     "{inputs: [{name: lr, value: 1}], run: {kind: job, container: {command: [x]}}}\n",
     "undeclared_param", "params.lrr", 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rule", "field", "line"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_bad_spec_is_refused_with_rule_field_and_line(text, rule, field, line):
    found = issues_of(text)
    assert [(i.rule, i.field, i.mark.line) for i in found] == [(rule, field, line)], found
    assert found[0].message
    assert bool(found[0].mark.column) == bool(line)


def test_all_errors_are_told_at_once():
    text = BASE + "quue: a\ntermination: {maxRetry: 2, timeout: x}\nschedule: {kind: cron}\n"
    found = issues_of(text)
    fields = {"quue", "termination.maxRetry", "termination.timeout", "schedule.cron"}
    assert fields <= {i.field for i in found}


def test_unknown_field_names_the_nearest():
    assert "did you mean 'queue'?" in issues_of(BASE + "quue: a\n")[0].message
    assert "'maxRetries'" in issues_of(BASE + "termination: {maxRetry: 2}\n")[0].message


def test_unknown_param_of_a_caller_is_refused_with_the_nearest_name():
    (issue,) = issues_of(job("[{name: lr, value: 1}]"), {"lrr": 2})
    assert (issue.rule, issue.field, issue.mark.line) == ("unknown_param", "params.lrr", 0)
    assert "did you mean 'lr'?" in issue.message


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (job(container='{command: [x, "a\\0b"]}'), {}),
        (job("[{name: a}]"), {"a": "x\0y"}),
        (job("[{name: a}]", "{command: ['{{ a }}']}"), {"a": "\ud800"}),
        (job(container="""{command: ['{{ "\\ud800" }}']}"""), {}),
    ],
)
def test_text_that_no_database_keeps_is_refused(text, params):
    assert {issue.rule for issue in issues_of(text, params)} == {"forbidden_character"}


def test_thousands_of_mistakes_are_told_in_a_bounded_answer():
    with pytest.raises(SpecError) as caught:
        compile_text(BASE + "".join(f"field{n}: 1\n" for n in range(20_000)))
    assert len(caught.value.issues) == 100


@pytest.mark.parametrize(
    "text",
    [
        job(container="{command: [" + "'{{ 1 }}'," * 1_500 + "]}"),
        job("[{name: a, value: [" + "'{{ 1 }}'," * 1_500 + "]}]"),
    ],
)
def test_thousands_of_templates_are_refused(text):
    assert [issue.rule for issue in issues_of(text)] == ["too_large"]


def test_two_cycles_are_both_told():
    inputs = (
        "[{name: a, value: '{{ b }}'}, {name: b, value: '{{ a }}'}, {name: c, value: '{{ c }}'}]"
    )
    assert [i.rule for i in issues_of(job(inputs))] == ["cyclic_reference", "cyclic_reference"]


def test_params_cannot_double_for_ever():
    inputs = ["{name: p0, value: " + "x" * 1000 + "}"]
    inputs += [
        f"{{name: p{n}, value: '{{{{ p{n - 1} }}}}{{{{ p{n - 1} }}}}'}}" for n in range(1, 40)
    ]
    rules = {i.rule for i in issues_of(job("[" + ", ".join(inputs) + "]"))}
    assert rules == {"too_large"}


def test_a_regex_cannot_hang_the_scheduler():
    rules = "{regex: '(a+)+$'}"
    value = "a" * 5000 + "b"
    (issue,) = issues_of(job(f"[{{name: a, type: str, value: {value}, validation: {rules}}}]"))
    assert issue.rule == "invalid_value"


def test_the_error_travels_as_violations_that_begin_with_the_place():
    with pytest.raises(SpecError) as caught:
        compile_text(BASE + "quue: a\n")
    back = from_status(to_status(caught.value))
    assert (back.grpc_code, back.reason) == ("INVALID_ARGUMENT", "INVALID_SPEC")
    (violation,) = back.violations
    assert (violation.field, violation.rule) == ("quue", "unknown_field")
    assert violation.message.startswith("line 4, column 1: ")
