"""Models, versions, aliases, datasets: any history folds, any command keeps the invariants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import (
    AlreadyExists,
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from epochal_lineage.domain import datasets, registering, versions
from epochal_lineage.domain.datasets import Inputs, InputsAggregate
from epochal_lineage.domain.model import ModelAggregate, ModelState, VersionState, version_number
from epochal_lineage.domain.registering import Candidate
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
    st.builds(lambda alias: lambda s: registering.register(s, MODEL, candidate(alias)), aliases),
    st.just(lambda s: registering.register(s, MODEL, candidate())),
    st.builds(
        lambda alias, n: lambda s: registering.set_alias(s, MODEL, alias, n),
        aliases,
        st.integers(1, 4),
    ),
    st.builds(lambda alias: lambda s: registering.delete_alias(s, MODEL, alias), aliases),
    st.builds(
        lambda n, stage, archive: (
            lambda s: versions.set_stage(s, MODEL, n, stage, "", archive_existing=archive)
        ),
        st.integers(1, 4),
        st.sampled_from(["", "Staging", "Production"]),
        st.booleans(),
    ),
    st.builds(lambda n: lambda s: versions.delete_version(s, MODEL, n), st.integers(1, 4)),
)


def two_versions() -> ModelState:
    known = {1: VersionState(), 2: VersionState()}
    return ModelState(exists=True, latest_version=2, versions=known)


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
    assert state.deleted == any(isinstance(one, pb.ModelDeleted) for one in history)
    assert bool(inputs.datasets) == any(isinstance(one, pb.DatasetUsed) for one in history)
    assert bool(inputs.models) == any(isinstance(one, pb.LoggedModelUsed) for one in history)


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
    first, version, alias = registering.register(ModelState(), MODEL, candidate("champion"))
    assert isinstance(first, pb.ModelRegistered)
    assert (version.version, version.digest, version.creator) == (1, "sha256:00", "users/ann")
    assert (alias.alias, alias.version, alias.old_version) == ("champion", 1, 0)


def test_an_alias_needs_a_version_that_is_there() -> None:
    with pytest.raises(NotFound):
        registering.set_alias(ModelState(), MODEL, "champion", 1)
    with pytest.raises(NotFound, match="has versions 1 to 2, not 3") as caught:
        registering.set_alias(two_versions(), MODEL, "champion", 3)
    assert caught.value.resource == f"{MODEL}/versions/3"


def test_an_alias_that_points_there_already_stays() -> None:
    state = replace(two_versions(), aliases={"champion": 1})
    assert registering.set_alias(state, MODEL, "champion", 1) == []


def test_deleting_an_alias_names_those_there_are() -> None:
    state = replace(two_versions(), aliases={"champion": 1})
    with pytest.raises(NotFound, match="it has champion"):
        registering.delete_alias(state, MODEL, "shadow")
    with pytest.raises(NotFound, match="it has none"):
        registering.delete_alias(ModelState(exists=True), MODEL, "shadow")


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


@given(st.lists(commands, max_size=25))
def test_no_alias_points_at_a_version_that_is_gone(history: list[Decide]) -> None:
    state = ModelState()
    for decide in history:
        state, _ = follow(state, decide)
        assert not any(state.versions[held].deleted for held in state.aliases.values())
        assert all(not one.stage for one in state.versions.values() if one.deleted)


@given(st.lists(commands, max_size=25))
def test_archiving_leaves_one_version_in_the_stage(history: list[Decide]) -> None:
    state = ModelState()
    for decide in history:
        state, _ = follow(state, decide)
    for number, known in state.versions.items():
        if known.deleted:
            continue
        after, _ = follow(
            state,
            lambda s, n=number: versions.set_stage(
                s, MODEL, n, "Production", "better", archive_existing=True
            ),
        )
        assert [n for n, one in after.versions.items() if one.stage == "Production"] == [number]


def test_a_deleted_model_takes_nothing_and_keeps_its_name() -> None:
    state = ModelAggregate().evolve(two_versions(), pb.ModelDeleted(model=MODEL))
    with pytest.raises(FailedPrecondition, match="choose another"):
        registering.register(state, MODEL, candidate())
    with pytest.raises(FailedPrecondition, match="choose another"):
        registering.create(state, pb.ModelRegistered(name=MODEL))
    for decide in (
        lambda: registering.tag(state, MODEL, {"a": "b"}, ()),
        lambda: registering.rename(state, MODEL, "x"),
        lambda: registering.describe(state, MODEL, "x"),
        lambda: registering.delete(state, MODEL),
        lambda: versions.delete_version(state, MODEL, 1),
    ):
        with pytest.raises(NotFound, match="was deleted"):
            decide()


def test_a_model_is_created_once() -> None:
    registered = pb.ModelRegistered(name=MODEL)
    assert registering.create(ModelState(), registered) == [registered]
    with pytest.raises(AlreadyExists):
        registering.create(two_versions(), registered)


def test_what_does_not_change_is_not_told() -> None:
    state = replace(two_versions(), display_name="d", description="x", tags={"a": "1"})
    assert registering.rename(state, MODEL, "d") == []
    assert registering.describe(state, MODEL, "x") == []
    assert registering.tag(state, MODEL, {"a": "1"}, ["b"]) == []
    assert versions.describe_version(state, MODEL, 1, "") == []
    assert versions.tag_version(state, MODEL, 1, {}, ["b"]) == []
    assert versions.set_stage(state, MODEL, 1, "", "", archive_existing=False) == []


def test_changes_tell_what_was_before() -> None:
    state = replace(two_versions(), display_name="d", description="x", tags={"a": "1", "b": "2"})
    (renamed,) = registering.rename(state, MODEL, "e")
    assert (renamed.display_name, renamed.old_display_name) == ("e", "d")
    (described,) = registering.describe(state, MODEL, "y")
    assert (described.description, described.old_description) == ("y", "x")
    (tagged,) = registering.tag(state, MODEL, {"a": "2"}, ["b", "a", "never"])
    assert (dict(tagged.tags), list(tagged.removed)) == ({"a": "2"}, ["b"])
    (version,) = versions.describe_version(state, MODEL, 2, "new")
    assert (version.name, version.description) == (f"{MODEL}/versions/2", "new")
    (staged,) = versions.set_stage(state, MODEL, 2, "Staging", "why", archive_existing=False)
    assert (staged.stage, staged.old_stage, staged.reason) == ("Staging", "", "why")


def test_a_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="no version yet"):
        versions.set_stage(ModelState(exists=True), MODEL, 1, "x", "", archive_existing=False)
    gone = ModelAggregate().evolve(
        two_versions(), pb.ModelVersionDeleted(name=f"{MODEL}/versions/2")
    )
    with pytest.raises(NotFound, match="versions/2 was deleted"):
        versions.describe_version(gone, MODEL, 2, "x")
    assert registering.register(gone, MODEL, candidate())[0].version == 3
    assert version_number("orgs/a") == 0
    stray = pb.ModelVersionTagged(name=f"{MODEL}/versions/9")
    assert ModelAggregate().evolve(gone, stray) == gone
