"""Whatever stands in a file, the compiler answers with an operation or with issues."""

import json

import yaml
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.nodes import to_data
from epochal_scheduler.spec.templates import Template, TemplateIssue, as_text
from hypothesis import given, settings
from hypothesis import strategies as st
from spec_samples import compile_text, issues_of, job

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
PRINTABLE = st.text(alphabet=st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=9)
PRINTABLE_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | PRINTABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(PRINTABLE.filter("<<".__ne__), inner, max_size=4)
    ),
)
FIELDS = st.sampled_from(
    ["version", "kind", "name", "run", "inputs", "params", "component", "termination", "cache",
     "matrix", "container", "cmd", "plugins", "conditions", "queue", "hooks", "nonsense"]
)  # fmt: skip


def _parses_or_tells(source):
    try:
        parse_document(source)
    except SpecError as error:
        return bool(error.issues) and all(issue.message for issue in error.issues)
    return True


@given(st.binary(max_size=300))
def test_any_bytes_give_a_document_or_issues(source):
    assert _parses_or_tells(source)


@given(st.text(alphabet="{}[]:-,&*!|>'\"#%@ \nab1<", max_size=120))
def test_any_punctuation_gives_a_document_or_issues(text):
    assert _parses_or_tells(text.encode())


@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_any_values_of_known_fields_give_an_operation_or_issues(document):
    issues = issues_of(yaml.safe_dump(document, allow_unicode=True))
    assert all(issue.rule and issue.message for issue in issues)


@given(st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=5), PRINTABLE_JSON, max_size=5))
def test_json_reads_as_itself(document):
    text = json.dumps(document)
    data = to_data(parse_document(text.encode()))
    assert data == json.loads(text)


def _finite(value):
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(NAMES, st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_a_param_s_text_reaches_the_argument_unchanged(name, text):
    # Keywords of the expression language are no names, as in Polyaxon.
    if name in {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none"}:
        return
    spec = job(
        f"[{{name: '{name}', type: str, isOptional: true}}]",
        f"{{command: ['{{{{ params.{name}.value }}}}']}}",
    )
    compiled = compile_text(spec, **{name: text})
    assert compiled.plan.run.container.command == [text]


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), st.data())
@settings(max_examples=60)
def test_references_between_params_resolve_or_are_a_told_cycle(names, data):
    targets = {name: data.draw(st.sampled_from([*names, ""])) for name in names}
    inputs = ", ".join(
        f"{{name: i_{name}, value: '{'{{ i_' + target + ' }}' if target else 'x'}'}}"
        for name, target in targets.items()
    )
    found = issues_of(job(f"[{inputs}]"))
    if any(_runs_in_a_circle(name, targets) for name in names):
        assert {issue.rule for issue in found} == {"cyclic_reference"}
    else:
        compiled = compile_text(job(f"[{inputs}]"))
        assert set(compiled.params.values()) == {"x"}


def _runs_in_a_circle(name, targets):
    seen = set()
    while name:
        if name in seen:
            return True
        seen.add(name)
        name = targets[name]
    return False


@given(st.text(alphabet="{}%a.b()[]+*'\"|~ 12_", max_size=60))
def test_any_template_renders_or_is_told(source):
    rules = {"template_syntax", "template_error", "unknown_name", "too_large"}
    try:
        Template("{{" + source + "}}").render({"a": "x", "b": [1, {"a": 2}]})
        rule = "template_error"
    except TemplateIssue as issue:
        rule = issue.rule
    assert rule in rules


@given(JSON.filter(_finite))
def test_one_expression_gives_the_value_itself(value):
    assert Template("{{ a }}").render({"a": value}) == value
    assert Template("<{{ a }}>").render({"a": value}) == f"<{as_text(value)}>"
