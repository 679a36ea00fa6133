"""Every file of the corpus compiles to what stands beside it, or is refused as stands beside it.

To write what is found now: `python -c "import spec_corpus; spec_corpus.write_goldens()"` in this
folder; read the difference before you commit it.
"""

import json

import pytest
import yaml
from epochal_scheduler.spec.compiled import OperationPlan, seal
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.nodes import Places, from_data
from epochal_scheduler.spec.preparing import Prepared
from epochal_scheduler.spec.schema.documents import Operation, Polyaxonfile
from spec_corpus import BAD, GOOD, SPECS, complaints, every_field, note_fields, outcome


def _id(path):
    return path.stem


def test_there_are_enough_of_them():
    assert len(GOOD) >= 60
    assert len(BAD) >= 60


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_a_good_spec_compiles_to_what_is_expected(path):
    assert outcome(path) == json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("path", BAD, ids=_id)
def test_a_bad_spec_is_refused_for_what_is_expected(path):
    expected = path.with_suffix(".txt").read_text()
    assert "\n".join(complaints(path)) + "\n" == expected
    assert expected.strip(), "it is not refused"


def _plans(data):
    if isinstance(data, dict):
        if data.get("kind") == "compiled_operation":
            yield data
        for inner in data.values():
            yield from _plans(inner)
    elif isinstance(data, list):
        for inner in data:
            yield from _plans(inner)


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_a_plan_read_back_is_the_same_plan(path):
    for data in _plans(json.loads(path.with_suffix(".json").read_text())):
        text = json.dumps(data)
        plan = OperationPlan.from_json(text)
        sealed = seal(plan, {}, ())
        assert json.loads(sealed.canonical_json) == data
        assert seal(OperationPlan.from_json(sealed.canonical_json), {}, ()).digest == sealed.digest


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_every_template_is_an_operation_of_its_own(path):
    for data in _plans(json.loads(path.with_suffix(".json").read_text())):
        hooks = [hook["template"] for hook in data.get("hooks", ()) if "template" in hook]
        for template in (data.get("template"), data.get("tuner"), *hooks):
            if template is not None:
                Prepared(Places(from_data(template)))


def test_every_field_of_the_grammar_is_in_some_good_file():
    fields, used = set(), set()
    every_field((Polyaxonfile,), fields, set())
    library = [path for path in (SPECS / "library").glob("*.yaml") if path.stem != "broken"]
    for path in (*GOOD, *library):
        note_fields(parse_document(path.read_bytes()), (Polyaxonfile,), used)
    assert fields - used == set()
    assert len(fields) > 300


def test_the_operation_has_no_field_that_files_cannot_have():
    only_here = Operation.model_fields.keys() - Polyaxonfile.model_fields.keys()
    assert only_here == set()


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_good_files_are_plain_yaml_too(path):
    assert yaml.safe_load(path.read_text())


def test_a_mark_says_which_file(tmp_path):
    with pytest.raises(SpecError) as caught:
        parse_document(b"a: [", 3)
    (issue,) = caught.value.issues
    assert issue.source == issue.to_proto().source == 3
    assert str(issue).startswith("file 4, line 2, column 1: ")
