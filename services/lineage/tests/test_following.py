"""Under the policy that was all comes as it came; under another, one thing upon the other."""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
import test_promotion_decisions as of_models
import test_stage_decisions as of_stages
from epochal_kernel.errors import EpochalError
from epochal_lineage.domain.gates.following import Decided, Following
from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.shelves import Shelf
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from test_promotion_decisions import MODEL, asked, known

#: As many wishes as `test_promotion_decisions` asks for.
STEPS = 25


def follow(
    policy: Policy, resource: str, events: Sequence[Message], after: int = 0
) -> tuple[list[Decided], list[pb.DifferingHolder]]:
    following = Following(policy)
    found = [
        following.see(resource, event, position > after) for position, event in enumerate(events, 1)
    ]
    return [one for one in found if one is not None], list(following.differences())


def models_told(steps: Sequence[tuple[str, object]]) -> list[Message]:
    state, told = known(), list[Message]()
    for step in steps:
        try:
            events = of_models.carry_out(state, step)
        except EpochalError:
            continue
        state = of_models.fold(state, events)
        told += events
    return told


def stages_told(steps: Sequence[tuple[str, object]]) -> list[Message]:
    state, told = Shelf(), list[Message]()
    for step in steps:
        try:
            events = of_stages.carry_out(state, of_stages.DATASET, of_stages.FOUND, step)
        except EpochalError:
            continue
        state = of_stages.fold(state, events)
        told += events
    return told


@given(st.lists(of_models.steps, max_size=STEPS), st.integers(0, 60))
def test_models_come_to_the_same_under_the_policy_that_was(
    steps: list[tuple[str, object]], after: int
) -> None:
    decided, holders = follow(of_models.POLICY, MODEL, models_told(steps), after)
    assert [one for one in decided if one.before != one.after] == []
    assert holders == []


@given(st.lists(of_stages.steps, max_size=STEPS), st.integers(0, 60))
def test_datasets_come_to_the_same_under_the_policy_that_was(
    steps: list[tuple[str, object]], after: int
) -> None:
    decided, holders = follow(of_stages.OF_PROJECT, of_stages.DATASET, stages_told(steps), after)
    assert [one for one in decided if one.before != one.after] == []
    assert holders == []


def test_who_would_not_have_come_is_no_longer_the_one_to_beat() -> None:
    """3 beats 1 and then 2 does not beat 3; had 3 been refused, 2 would have beaten 1."""
    told = models_told([("promote", asked(n, alias="champion")) for n in (1, 3, 2)])
    text = 'aliases: {champion: {gates: {metrics: ["metrics.acc > holder.metrics.acc", GATE]}}}'
    policy = read_policy(text.replace("GATE", "metrics.acc < 0.25"))
    decided, holders = follow(policy, MODEL, told)
    states = [(one.before, one.after) for one in decided]
    completed, refused = pb.PROMOTION_STATE_COMPLETED, pb.PROMOTION_STATE_REFUSED
    assert states == [(completed, completed), (completed, refused), (refused, completed)]
    (champion,) = holders
    assert (champion.alias, champion.was[-1], champion.would_be[-1]) == ("champion", "3", "2")
    alone = follow(policy, MODEL, told, after=len(told))
    assert alone == ([], []), "outside of the window all is as it was"


def test_what_people_did_past_the_gates_they_do_again() -> None:
    urgent = asked(2, "Production", emergency=True, role="admin", reason="fire")
    told = models_told([("promote", urgent)])
    none = read_policy("stages: {Production: {gates: {approvals: [{count: 2}]}}}")
    decided, holders = follow(none, MODEL, told)
    assert len(decided) == 1
    assert holders == [], "an emergency asks no gate"
