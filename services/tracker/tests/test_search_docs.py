"""Every example of docs/search.md is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from epochal_tracker.search import epochal, mlflow
from search_world import NOW

DOCS = Path(__file__).parents[3] / "docs" / "search.md"
READERS = {
    "epochal": lambda text: epochal.parse(text, NOW),
    "epochal-order": epochal.parse_order,
    "mlflow": mlflow.parse,
    "mlflow-order": mlflow.parse_order,
}
EXAMPLES = [
    (language, line)
    for language, block in re.findall(r"```(\S+)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    if language in READERS
    for line in block.strip().splitlines()
]


def test_there_are_examples_of_each() -> None:
    assert {language for language, _ in EXAMPLES} == set(READERS)


@pytest.mark.parametrize(("language", "line"), EXAMPLES)
def test_an_example_is_read(language: str, line: str) -> None:
    assert READERS[language](line)
