"""Models, versions, aliases, datasets: any history folds, any command keeps the invariants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import EpochalError, InvalidArgument, NotFound
from epochal_lineage.domain import datasets, model
from epochal_lineage.domain.datasets import Inputs, InputsAggregate
from epochal_lineage.domain.model import Candidate, ModelAggregate, ModelState
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

PROJECT = "orgs/acme/projects/vision"
MODEL = f"{PROJECT}/models/digits"
aliases = st.sampled_from(["champion", "shadow"])
Decide = Callable[[ModelState], Sequence[Message]]


def candidate(alias: str = "", run: str = f"{PROJECT}/runs/1") -> Candidate:
    return Candidate(run, "model.pkl", "sha256:00", "", "users/ann", alias)


commands = st.one_of(
    st.builds(lambda alias: lambda s: model.register(s, MODEL, candidate(alias)), aliases),
    st.just(lambda s: model.register(s, MODEL, candidate())),
    st.builds(
        lambda alias, n: lambda s: model.set_alias(s, MODEL, alias, n), aliases, st.integers(1, 4)
    ),
    st.builds(lambda alias: lambda s: model.delete_alias(s, MODEL, alias), aliases),
)


def follow(state: ModelState, decide: Decide) -> tuple[ModelState, Sequence[Message]]:
    try:
        events = decide(state)
    except EpochalError:
        return state, ()
    for event in events:
        state = ModelAggregate().evolve(state, event)
    return state, events


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    state, inputs = ModelAggregate().initial(), InputsAggregate().initial()
    for event in history:
        state = ModelAggregate().evolve(state, event)
        inputs = InputsAggregate().evolve(inputs, event)
    assert state.exists == any(isinstance(one, pb.ModelRegistered) for one in history)
    assert bool(inputs.datasets) == any(isinstance(one, pb.DatasetUsed) for one in history)


@given(st.lists(commands, max_size=25))
def test_versions_count_up_and_aliases_point_at_versions_there_are(history: list[Decide]) -> None:
    state = ModelState()
    registered: list[int] = []
    holders: dict[str, int] = {}
    for decide in history:
        state, events = follow(state, decide)
        for event in events:
            match event:
                case pb.ModelVersionRegistered():
                    registered.append(event.version)
                    assert event.name == f"{MODEL}/versions/{event.version}"
                case pb.ModelAliasSet():
                    assert event.old_version == holders.get(event.alias, 0) != event.version
                    holders[event.alias] = event.version
                case pb.ModelAliasDeleted():
                    assert event.old_version == holders.pop(event.alias)
        assert registered == list(range(1, state.latest_version + 1))
        assert dict(state.aliases) == holders
        assert all(1 <= version <= state.latest_version for version in holders.values())


def test_the_first_version_makes_the_model() -> None:
    first, version, alias = model.register(ModelState(), MODEL, candidate("champion"))
    assert isinstance(first, pb.ModelRegistered)
    assert (version.version, version.digest, version.creator) == (1, "sha256:00", "users/ann")
    assert (alias.alias, alias.version, alias.old_version) == ("champion", 1, 0)


def test_an_alias_needs_a_version_that_is_there() -> None:
    with pytest.raises(NotFound):
        model.set_alias(ModelState(), MODEL, "champion", 1)
    with pytest.raises(NotFound, match="has versions 1 to 2, not 3") as caught:
        model.set_alias(ModelState(exists=True, latest_version=2), MODEL, "champion", 3)
    assert caught.value.resource == f"{MODEL}/versions/3"


def test_an_alias_that_points_there_already_stays() -> None:
    state = ModelState(exists=True, latest_version=1, aliases={"champion": 1})
    assert model.set_alias(state, MODEL, "champion", 1) == []


def test_deleting_an_alias_names_those_there_are() -> None:
    state = ModelState(exists=True, latest_version=1, aliases={"champion": 1})
    with pytest.raises(NotFound, match="it has champion"):
        model.delete_alias(state, MODEL, "shadow")
    with pytest.raises(NotFound, match="it has none"):
        model.delete_alias(ModelState(exists=True), MODEL, "shadow")


@given(st.lists(st.sampled_from("abc"), max_size=10))
def test_a_dataset_is_used_once_by_a_run(used: list[str]) -> None:
    state = Inputs()
    recorded: list[str] = []
    for name in used:
        for event in datasets.use_dataset(state, pb.DatasetUsed(dataset=name)):
            recorded.append(event.dataset)
            state = InputsAggregate().evolve(state, event)
    assert recorded == list(dict.fromkeys(used))


def test_a_dataset_is_named_by_content_and_else_by_place() -> None:
    digest = "sha256:" + "ab" * 32
    by_content = datasets.dataset_version(PROJECT, "digits", "s3://x", digest)
    assert by_content == f"{PROJECT}/datasets/digits/versions/abababababab"
    assert by_content == datasets.dataset_version(PROJECT, "digits", "s3://elsewhere", digest)
    place = hashlib.sha256(b"s3://x").hexdigest()[:12]
    assert datasets.dataset_version(PROJECT, "digits", "s3://x", "").endswith(place)
    with pytest.raises(InvalidArgument):
        datasets.dataset_version(PROJECT, "digits", "", "")
