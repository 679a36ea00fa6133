"""docs/spec.md: its examples compile, and it names every field of the grammar."""

import re
from pathlib import Path

import pytest
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.library import Library
from epochal_scheduler.spec.schema.documents import Polyaxonfile
from spec_corpus import SPECS, every_field
from spec_samples import SCOPE

TEXT = (Path(__file__).parents[3] / "docs" / "spec.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
LIBRARY = Library({"train": (SPECS / "library" / "train.yaml").read_bytes()})


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_document_compiles(text):
    compiled = compile_operation(text.encode(), {}, SCOPE, LIBRARY)
    assert {issue.rule for issue in compiled.warnings} <= {"not_honoured"}
    ChildCompiler(compiled.plan)


def test_the_document_namesevery_field():
    fields = set()
    every_field((Polyaxonfile,), fields, set())
    words = set(re.findall(r"[A-Za-z0-9]+", TEXT))
    assert {alias for _, alias in fields} - words == set()
    assert len(EXAMPLES) >= 9
