"""Whatever a pipeline says, it compiles or is refused; and what compiled holds together."""

import json
from contextlib import suppress
from copy import deepcopy

import yaml
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiled import OperationPlan, seal
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.library import collect_references
from epochal_scheduler.spec.merging import STRATEGIES, patch
from epochal_scheduler.spec.nodes import from_data, to_data
from epochal_scheduler.spec.schema.documents import Polyaxonfile
from hypothesis import given, settings
from hypothesis import strategies as st
from spec_corpus import BAD, GOOD, case_of, library_of
from spec_samples import SCOPE

FILES = [yaml.safe_load(path.read_text()) for path in (*GOOD, *BAD)]
LIBRARIES = [library_of(case_of(path)) for path in (*GOOD, *BAD)]
JUNK = st.sampled_from(
    [None, True, -1, 0, 1.5, "", "x", "{{ x }}", "{{", "ops.a", [], [1], {}, {"kind": "dag"}, "0:1",
     {"ref": "dag"}, [[]], [{}], {"a": {"b": []}}, "2026-01-01", "@daily", 10**30, "a" * 300,
     "{{ lr }}", "{{ globals }}", {"value": "{{ n }}"}, "{% x %}", "..", 1e999]
)  # fmt: skip


def _places(data, path=()):
    yield path
    if isinstance(data, dict):
        for key in data:
            yield from _places(data[key], (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _places(item, (*path, index))


def _with(data, path, value):
    made = deepcopy(data)
    if not path:
        return value if isinstance(value, dict) else {"a": value}
    inner = made
    for at in path[:-1]:
        inner = inner[at]
    inner[path[-1]] = value
    return made


def _outcome(sources, library):
    issues = ()
    try:
        return compile_operation(sources, {}, SCOPE, library)
    except SpecError as error:
        issues = error.issues
    assert issues
    assert all(issue.rule and issue.message for issue in issues)
    return None


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_spec_with_something_wrong_in_it_is_compiled_or_refused(data):
    index = data.draw(st.integers(0, len(FILES) - 1))
    document = FILES[index]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(_places(document))))
        document = _with(document, place, data.draw(JUNK))
    source = yaml.safe_dump(document, allow_unicode=True).encode()
    try:
        collect_references([source])
    except SpecError:
        return
    compiled = _outcome(source, LIBRARIES[index])
    if compiled is not None:
        again = OperationPlan.from_json(compiled.canonical_json)
        assert seal(again, {}, ()).digest == compiled.digest
        assert again == compiled.plan
        _compile_children(ChildCompiler(again), data.draw(st.lists(JUNK, max_size=3)))


def _compile_children(compiler, junk):
    for name in compiler.steps or [""]:
        asked = compiler.steps[name].references if name else compiler.references
        values = dict(zip((reference.param for reference in asked), junk, strict=False))
        with suppress(SpecError):
            ChildCompiler(compiler.compile(values, SCOPE, name).plan)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_file_may_be_laid_over_any_other(data):
    one, other = (data.draw(st.integers(0, len(FILES) - 1)) for _ in range(2))
    layer = {k: v for k, v in FILES[other].items() if k not in ("component", "hubRef")}
    strategy = data.draw(st.sampled_from(STRATEGIES))
    sources = [
        yaml.safe_dump(part, allow_unicode=True).encode()
        for part in (FILES[one], {**layer, "patchStrategy": strategy})
    ]
    compiled = _outcome(sources, LIBRARIES[one])
    if compiled is not None:
        assert OperationPlan.from_json(compiled.canonical_json) == compiled.plan


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    ),
    max_leaves=10,
)
STORABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=3)


def _patched(base, overlay, strategy, kinds=()):
    return to_data(patch(from_data(base), from_data(overlay), strategy, kinds))


@given(MAPPINGS, st.sampled_from(STRATEGIES))
def test_patching_with_nothing_changes_nothing(base, strategy):
    assert _patched(base, {}, strategy, (Polyaxonfile,)) == base


@given(MAPPINGS, MAPPINGS, st.sampled_from(STRATEGIES))
def test_patching_twice_is_patching_once(base, overlay, strategy):
    once = _patched(base, overlay, strategy, (Polyaxonfile,))
    again = _patched(once, overlay, strategy, (Polyaxonfile,))
    assert again.keys() == once.keys() == base.keys() | overlay.keys()
    if strategy in ("replace", "isnull"):
        assert again == once


@given(MAPPINGS, MAPPINGS)
def test_post_merge_keeps_the_patch_and_pre_merge_the_base(base, overlay):
    post = _patched(base, overlay, "post_merge")
    pre = _patched(base, overlay, "pre_merge")
    for key, value in overlay.items():
        if not isinstance(value, dict | list):
            assert post[key] == value or (base.get(key) is None and post[key] == value)
    for key, value in base.items():
        if value is not None and not isinstance(value, dict | list):
            assert pre[key] == value


@given(st.dictionaries(st.sampled_from(["n", "lr"]), st.integers() | STORABLE))
def test_values_of_a_sweep_reach_its_trial_as_they_are(values):
    text = (
        "kind: operation\nmatrix: {kind: mapping, values: [{n: 1, lr: 2}]}\ncomponent: {inputs: "
        "[{name: n, isOptional: true}, {name: lr, isOptional: true}], run: {kind: job, container: "
        "{command: [x]}}}\n"
    )
    plan = compile_operation(text.encode(), {}, SCOPE).plan
    assert ChildCompiler(plan).compile(values, SCOPE).params == values


def test_the_corpus_survives_its_own_yaml():
    for path in GOOD:
        data = to_data(parse_document(path.read_bytes()))
        assert json.loads(json.dumps(data)) == data
