"""Parameters, outputs, tags and datasets of runs as searches find them."""

from __future__ import annotations

import json
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_testing.projecting import project, recorded
from epochal_tracker import params
from epochal_tracker.domain.comparing import value_text
from epochal_tracker.named_values import number_of
from epochal_tracker.projections import READ_MODEL
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from test_tracker_rows import NAME, RUN_ID, parameters, payloads, tags

Fields = dict[tuple[str, str], tuple[str, float | None]]


def fields(*payloads: Message) -> Fields:
    stored = project(
        READ_MODEL, [recorded(payload, place, RUN_ID) for place, payload in enumerate(payloads, 1)]
    )
    return {(row.kind, row.name): (row.text, row.number) for row in stored["run_field"].values()}


def test_values_are_kept_as_text_and_as_the_number_they_are() -> None:
    values = {
        "whole": pb.Value(int_value=3),
        "rate": pb.Value(double_value=1e-5),
        "odd": pb.Value(double_value=float("nan")),
        "flag": pb.Value(bool_value=True),
        "written": pb.Value(string_value="0.10"),
        "words": pb.Value(string_value="1 or 2"),
        "tree": pb.Value(json_value='{"a": 1}'),
    }
    assert fields(pb.RunCreated(name=NAME, params=values, tags={"team": "1"})) == {
        ("p", "whole"): ("3", 3.0),
        ("p", "rate"): ("1e-05", 1e-5),
        ("p", "odd"): ("nan", None),
        ("p", "flag"): ("true", None),
        ("p", "written"): ("0.10", 0.1),
        ("p", "words"): ("1 or 2", None),
        ("p", "tree"): ('{"a": 1}', None),
        ("t", "team"): ("1", None),
    }


def test_texts_that_only_python_reads_as_numbers_are_none() -> None:
    for text in ("nan", "inf", "1_000", " 1", "٣", "0x10", "1e", ""):
        assert number_of(pb.Value(string_value=text)) is None, text
    assert number_of(pb.Value(string_value="1e400")) == float("inf")


def test_a_tag_set_to_nothing_is_gone() -> None:
    created = pb.RunCreated(name=NAME, tags={"team": "a"})
    assert fields(created, pb.TagsSet(tags={"team": "", "other": "b"})) == {
        ("t", "other"): ("b", None)
    }
    assert fields(created, pb.TagsSet(emptied=["team"])) == {("t", "team"): ("", None)}


def test_a_dataset_is_found_by_its_name() -> None:
    used = pb.DatasetUsed(
        run=NAME, dataset="orgs/acme/projects/vision/datasets/digits/versions/ab", digest="sha256:1"
    )
    stored = project(READ_MODEL, [recorded(used, 1, UUID(int=5))])
    (row,) = stored["run_dataset"].values()
    assert (row.run_id, row.name, row.digest) == (RUN_ID, "digits", "sha256:1")


@given(parameters, tags, st.lists(payloads, max_size=20))
def test_what_searches_find_is_what_the_run_shows(
    given_: dict[str, pb.Value], named: dict[str, str], later: list[Message]
) -> None:
    created = pb.RunCreated(name=NAME, params=given_, tags=named)
    history = [created, *(one for one in later if not isinstance(one, pb.RunCreated))]
    stored = project(
        READ_MODEL, [recorded(payload, place, RUN_ID) for place, payload in enumerate(history, 1)]
    )
    shown: set[tuple[UUID, str, str, str]] = set()
    for run in stored["run"].values():
        for kind, text in (("p", run.params), ("o", run.outputs)):
            for name, value in params.from_json(text).items():
                shown.add((run.run_id, kind, name, value_text(value)))
        shown |= {(run.run_id, "t", name, value) for name, value in json.loads(run.tags).items()}
    found = {(row.run_id, row.kind, row.name, row.text) for row in stored["run_field"].values()}
    assert found == shown
