"""Logged models: parameters never change, what is known grows, links are told once."""

from __future__ import annotations

from dataclasses import replace

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_lineage.domain import datasets, logged_models
from epochal_lineage.domain.datasets import Inputs, InputsAggregate
from epochal_lineage.domain.logged_models import LoggedModelAggregate, LoggedState
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

NAME = "orgs/acme/projects/vision/loggedModels/m-" + "0" * 32
RUN = "orgs/acme/projects/vision/runs/1"
READY = pb.LOGGED_MODEL_STATUS_READY
LOGGED = LoggedState(
    exists=True, status=pb.LOGGED_MODEL_STATUS_PENDING, params={"lr": "0.1"}, tags={"a": "1"}
)


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    state = LoggedModelAggregate().initial()
    for event in history:
        state = LoggedModelAggregate().evolve(state, event)
    assert state.exists == any(isinstance(one, pb.ModelLogged) for one in history)


def test_a_logged_model_waits_until_its_files_are_there() -> None:
    state = LoggedModelAggregate().evolve(
        LoggedState(), pb.ModelLogged(name=NAME, params={"a": "1"}, tags={"b": "2"})
    )
    assert state.status == pb.LOGGED_MODEL_STATUS_PENDING
    (final,) = logged_models.finalize(state, NAME, READY, "")
    state = LoggedModelAggregate().evolve(state, final)
    assert logged_models.finalize(state, NAME, READY, "") == []
    assert (state.params, state.tags) == ({"a": "1"}, {"b": "2"})


def test_a_parameter_never_changes() -> None:
    assert logged_models.add_params(LOGGED, NAME, {"lr": "0.1"}) == []
    (added,) = logged_models.add_params(LOGGED, NAME, {"lr": "0.1", "depth": "3"})
    assert dict(added.params) == {"depth": "3"}
    assert LoggedModelAggregate().evolve(LOGGED, added).params == {"lr": "0.1", "depth": "3"}
    with pytest.raises(FailedPrecondition, match="never change") as caught:
        logged_models.add_params(LOGGED, NAME, {"lr": "0.2", "depth": "3"})
    assert [violation.field for violation in caught.value.violations] == ["params.lr"]


def test_tags_are_set_and_removed() -> None:
    (tagged,) = logged_models.tag_logged(LOGGED, NAME, {"b": ""}, ["a", "never"])
    assert (dict(tagged.tags), list(tagged.removed)) == ({"b": ""}, ["a"])
    assert LoggedModelAggregate().evolve(LOGGED, tagged).tags == {"b": ""}
    assert logged_models.tag_logged(LOGGED, NAME, {"a": "1"}, []) == []


def test_every_measurement_is_told() -> None:
    metric = pb.LoggedModelMetric(metric="acc", value=0.9)
    (measured,) = logged_models.measure(LOGGED, NAME, [metric])
    assert list(measured.metrics) == [metric]


def test_nothing_is_done_to_what_is_not_there() -> None:
    (deleted,) = logged_models.delete_logged(LOGGED, NAME)
    gone = LoggedModelAggregate().evolve(LOGGED, deleted)
    for state, word in ((LoggedState(), "there is no"), (gone, "was deleted")):
        for decide in (
            lambda s: logged_models.finalize(s, NAME, READY, ""),
            lambda s: logged_models.add_params(s, NAME, {}),
            lambda s: logged_models.tag_logged(s, NAME, {}, ()),
            lambda s: logged_models.measure(s, NAME, []),
            lambda s: logged_models.delete_logged(s, NAME),
        ):
            with pytest.raises(NotFound, match=word):
                decide(state)


def test_a_link_is_told_once_and_again_at_another_step() -> None:
    state = Inputs()
    events = list(datasets.link_models(state, RUN, [NAME, NAME], {NAME: 3}))
    assert [type(event) for event in events] == [pb.LoggedModelUsed, pb.LoggedModelProduced]
    for event in events:
        state = InputsAggregate().evolve(state, event)
    assert datasets.link_models(state, RUN, [NAME], {NAME: 3}) == []
    (again,) = datasets.link_models(state, RUN, [], {NAME: 4})
    assert again.step == 4
    assert replace(state, models=frozenset()) != state
