"""What is set by name: limits of queues, policies of projects, components."""

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import AlreadyExists, InvalidArgument, NotFound
from epochal_scheduler.domain.settings import (
    COMPONENT,
    POLICY,
    QUEUE,
    create_queue,
    delete_component,
    delete_queue,
    digest_of,
    register_component,
    set_policy,
    update_queue,
)
from google.protobuf.field_mask_pb2 import FieldMask

NAME = "orgs/acme/queues/gpu"


def after(aggregate, *events):
    state = aggregate.initial()
    for event in events:
        state = aggregate.evolve(state, event)
    return state


def configured(**fields):
    return after(QUEUE, *create_queue(QUEUE.initial(), pb.Queue(name=NAME, **fields), "users/a"))


def updated(state, queue, *paths):
    queue.name = NAME
    return after(QUEUE, *update_queue(state, queue, FieldMask(paths=paths), "users/a")).queue


def test_limits_are_set_once_and_what_is_counted_is_no_limit():
    state = configured(concurrency=2, waiting=7, running=3, agents=["agents/a"])
    assert state.queue == pb.Queue(name=NAME, concurrency=2)
    with pytest.raises(AlreadyExists, match="queues update"):
        create_queue(state, pb.Queue(name=NAME), "users/a")


def test_a_mask_says_what_changes_also_to_nothing():
    state = configured(concurrency=2, priority=3, preempts=True, weights={"projects/p": 2.0})
    found = updated(
        state, pb.Queue(priority=9, concurrency=5), "concurrency", "preempts", "weights"
    )
    assert found == pb.Queue(name=NAME, concurrency=5, priority=3)


def test_without_a_mask_what_is_given_changes():
    state = configured(concurrency=2, priority=3)
    assert updated(state, pb.Queue(priority=9)) == pb.Queue(name=NAME, concurrency=2, priority=9)
    assert update_queue(state, pb.Queue(name=NAME, priority=3), FieldMask(), "users/a") == ()


def test_a_queue_nobody_has_configured_is_by_its_update():
    assert updated(QUEUE.initial(), pb.Queue(concurrency=4)).concurrency == 4


@pytest.mark.parametrize("path", ["waiting", "name", "nonsense"])
def test_what_cannot_be_set_is_refused(path):
    with pytest.raises(InvalidArgument, match=f"'{path}' cannot be set; these can: priority"):
        update_queue(configured(), pb.Queue(name=NAME), FieldMask(paths=[path]), "users/a")


def test_limits_that_are_not_there_are_not_removed():
    (deleted,) = delete_queue(configured(), NAME)
    assert QUEUE.evolve(configured(), deleted) == QUEUE.initial()
    with pytest.raises(NotFound):
        delete_queue(QUEUE.initial(), NAME)
    assert QUEUE.evolve(configured(), pb.RunStarted()) == configured()


def test_the_same_policy_again_changes_nothing():
    policy = pb.ProjectPolicy(name="orgs/acme/projects/p", four_eyes=True)
    (event,) = set_policy(POLICY.initial(), policy)
    state = after(POLICY, event, pb.RunStarted())
    assert state.policy == policy
    assert set_policy(state, policy) == ()


def component(tag, text, description=""):
    return pb.ComponentRegistered(
        name=f"orgs/acme/components/c/versions/{tag}", digest=digest_of(text), spec=text,
        description=description,
    )  # fmt: skip


def test_a_tag_is_for_ever_and_latest_moves():
    for tag in ("1.0", "latest"):
        state = after(COMPONENT, *register_component(COMPONENT.initial(), component(tag, b"a")))
        assert register_component(state, component(tag, b"a")) == ()
        assert register_component(state, component(tag, b"a", "words")) != ()
        if tag == "latest":
            assert register_component(state, component(tag, b"b")) != ()
        else:
            with pytest.raises(AlreadyExists, match="choose another tag"):
                register_component(state, component(tag, b"b"))


def test_a_version_that_is_gone_may_be_registered_anew():
    name = component("1.0", b"a").name
    state = after(COMPONENT, component("1.0", b"a"))
    gone = after(COMPONENT, component("1.0", b"a"), *delete_component(state, name))
    assert register_component(gone, component("1.0", b"b"))
    with pytest.raises(NotFound):
        delete_component(gone, name)
