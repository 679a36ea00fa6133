"""What stood at a moment is what the events up to it say."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_lineage.domain.rules import RULE_TYPES, Rules
from epochal_lineage.domain.standing import TYPES, AnyStream, Change, Standing
from epochal_lineage.domain.standing_folds import Key
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

ORG = "orgs/acme"
MODEL = f"{ORG}/projects/p/models/m"
MEMBERS, MODELS, VERSIONS = (
    pb.STATE_KIND_MEMBERS,
    pb.STATE_KIND_MODELS,
    pb.STATE_KIND_MODEL_VERSIONS,
)
COMPONENT, DATASET = f"{ORG}/components/train", f"{ORG}/projects/p/datasets/d"
WISH = f"{MODEL}/promotions/1"

HISTORY: list[tuple[str, Message]] = [
    ("users/root", pb.MemberAdded(parent=ORG, user="users/ann", role=pb.ROLE_OWNER)),
    ("users/ann", pb.MemberAdded(parent=ORG, user="users/bob", role=pb.ROLE_VIEWER)),
    ("users/ann", pb.ModelRegistered(name=MODEL, description="digits", tags={"team": "a"})),
    (
        "users/bob",
        pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/1", version=1, digest="sha256:1", creator="users/bob"
        ),
    ),
    ("users/ann", pb.ModelAliasSet(model=MODEL, alias="champion", version=1)),
    (
        "users/ann",
        pb.MemberRoleChanged(
            parent=ORG, user="users/bob", old_role=pb.ROLE_VIEWER, new_role=pb.ROLE_ADMIN
        ),
    ),
    ("users/bob", pb.ModelVersionStageChanged(name=f"{MODEL}/versions/1", stage="Production")),
    ("users/ann", pb.ModelTagged(model=MODEL, tags={"size": "s"}, removed=["team"])),
    ("users/bob", pb.ModelAliasDeleted(model=MODEL, alias="champion", old_version=1)),
    ("users/ann", pb.MemberRemoved(parent=ORG, user="users/bob")),
    ("users/ann", pb.TokenIssued(name=f"{ORG}/tokens/t", user="users/ann", secret_sha256=b"s")),
    ("users/ann", pb.TokenRevoked(name=f"{ORG}/tokens/t")),
    ("users/ann", pb.ProjectCreated(name=f"{ORG}/projects/p", display_name="P")),
    ("users/ann", pb.ProjectTagsSet(name=f"{ORG}/projects/p", tags={"a": "b"})),
    ("users/ann", pb.ProjectArchived(name=f"{ORG}/projects/p")),
    ("users/ann", pb.ProjectRestored(name=f"{ORG}/projects/p")),
    ("users/ann", pb.ProjectPolicySet(policy=pb.ProjectPolicy(name="p", four_eyes=True))),
    ("users/ann", pb.QueueConfigured(queue=pb.Queue(name=f"{ORG}/queues/gpu"))),
    ("users/ann", pb.QueueDeleted(name=f"{ORG}/queues/gpu")),
    ("users/ann", pb.RegistryPolicySet(project="orgs/acme/projects/p", version=1, text="stages:")),
    (
        "users/ann",
        pb.PromotionRequested(
            name=WISH,
            model_version=f"{MODEL}/versions/1",
            stage="Production",
            kind=pb.PROMOTION_KIND_GATED,
            requester="users/ann",
            authors=["users/bob"],
        ),
    ),
    ("users/ann", pb.PromotionEvaluated(promotion=WISH, outcome=pb.PROMOTION_STATE_OPEN)),
    ("users/bob", pb.PromotionApproved(promotion=WISH, approver="users/bob", role="admin")),
    ("users/cy", pb.PromotionApproved(promotion=WISH, approver="users/cy", role="admin")),
    (
        "users/cy",
        pb.ModelAliasSet(
            model=MODEL, alias="champion", version=1, kind=pb.PROMOTION_KIND_EMERGENCY
        ),
    ),
    ("users/cy", pb.PromotionCompleted(promotion=WISH)),
    ("users/dan", pb.PromotionReviewed(promotion=WISH, reviewer="users/dan")),
    ("users/dan", pb.PromotionRejected(promotion=WISH, rejecter="users/dan")),
    ("users/ann", pb.CardSectionWritten(name=f"{MODEL}/versions/1", section=1, text="digits")),
    ("users/ann", pb.CardSectionWritten(name=MODEL, section=1, text="digits")),
    ("users/ann", pb.ModelVersionSigned(name=f"{MODEL}/versions/1", key="k", creator="users/a")),
    ("users/ann", pb.RegistryPolicySet(project="orgs/acme/projects/p", version=2)),
    ("users/ann", pb.ModelVersionDeleted(name=f"{MODEL}/versions/1")),
    ("users/ann", pb.ModelDeleted(model=MODEL)),
    ("users/ann", pb.ComponentRegistered(name=f"{COMPONENT}/versions/v1", digest="sha256:1")),
    ("users/ann", pb.ComponentStageSet(component=COMPONENT, stage="Production", tag="v1")),
    (
        "users/ann",
        pb.DatasetStageSet(
            dataset=DATASET, stage="Production", version="a", kind=pb.PROMOTION_KIND_GATED
        ),
    ),
    (
        "users/ann",
        pb.DatasetStageSet(
            dataset=DATASET,
            stage="Production",
            version="b",
            old_version="a",
            kind=pb.PROMOTION_KIND_EMERGENCY,
        ),
    ),
    ("users/ann", pb.ComponentStageSet(component=COMPONENT, stage="Production", old_tag="v1")),
    ("users/ann", pb.ComponentDeleted(name=f"{COMPONENT}/versions/v1")),
]
EMERGENCY = 1 + next(
    index
    for index, (_, event) in enumerate(HISTORY)
    if isinstance(event, pb.ModelAliasSet) and event.kind == pb.PROMOTION_KIND_EMERGENCY
)


def standing(through: int) -> Standing:
    found = Standing()
    for position, (actor, event) in enumerate(HISTORY[:through], 1):
        found.apply(event, position, actor)
    return found


def fields(through: int, kind: int, name: str) -> dict[str, str]:
    return dict(standing(through).entries[Key(kind, name)].fields)


def test_every_moment_shows_what_stood_then() -> None:
    assert fields(2, MEMBERS, f"{ORG}/members/bob") == {"user": "users/bob", "role": "viewer"}
    assert fields(6, MEMBERS, f"{ORG}/members/bob")["role"] == "admin"
    assert Key(MEMBERS, f"{ORG}/members/bob") not in standing(10).entries
    assert fields(5, MODELS, MODEL)["alias.champion"] == "1"
    assert "alias.champion" not in fields(9, MODELS, MODEL)
    assert fields(8, MODELS, MODEL)["tags.size"] == "s"
    assert "tags.team" not in fields(8, MODELS, MODEL)
    assert fields(7, VERSIONS, f"{MODEL}/versions/1")["stage"] == "Production"
    assert fields(15, pb.STATE_KIND_PROJECTS, f"{ORG}/projects/p")["archived"] == "true"
    assert fields(17, pb.STATE_KIND_POLICIES, "p") == {"four_eyes": "true"}
    last = standing(len(HISTORY)).entries
    assert {key.kind for key in last} == {
        MEMBERS, pb.STATE_KIND_PROJECTS, pb.STATE_KIND_POLICIES, pb.STATE_KIND_PROMOTIONS,
        pb.STATE_KIND_DATASETS,
    }  # fmt: skip


def test_promotions_and_policies_stand_as_they_stood() -> None:
    policies, wishes = pb.STATE_KIND_REGISTRY_POLICIES, pb.STATE_KIND_PROMOTIONS
    name = "orgs/acme/projects/p/registryPolicy"
    assert fields(EMERGENCY, policies, name)["text"] == "stages:"
    assert Key(policies, name) not in standing(len(HISTORY)).entries
    wish = fields(EMERGENCY, wishes, WISH)
    assert (wish["state"], wish["approved.users/cy"], wish["kind"]) == ("open", "admin", "gated")
    assert fields(EMERGENCY + 1, wishes, WISH)["state"] == "completed"


def test_stages_of_datasets_and_components_stand_with_the_versions_that_have_them() -> None:
    held, last = {"stage.Production": "held"}, len(HISTORY)
    train, first = f"{COMPONENT}/versions/v1", f"{DATASET}/versions/a"
    assert fields(last - 4, pb.STATE_KIND_COMPONENTS, train)["stage.Production"] == "held"
    assert "stage.Production" not in fields(last - 1, pb.STATE_KIND_COMPONENTS, train)
    assert Key(pb.STATE_KIND_COMPONENTS, train) not in standing(last).entries
    assert fields(last - 3, pb.STATE_KIND_DATASETS, first) == held
    assert Key(pb.STATE_KIND_DATASETS, first) not in standing(last - 2).entries
    assert fields(last - 2, pb.STATE_KIND_DATASETS, f"{DATASET}/versions/b") == held
    (gone, come) = [
        one
        for one in standing(last - 3).changes_to(standing(last - 2))
        if one.field == "stage.Production" or not one.after
    ]
    assert (gone.key.name, come.after) == (first, "held")


def test_no_secret_stands() -> None:
    token = standing(11).entries[Key(pb.STATE_KIND_TOKENS, f"{ORG}/tokens/t")]
    assert token.fields == {"user": "users/ann"}
    loose = AnyStream()
    loose.apply(pb.SubscriptionCreated(sealed_channel=b"sealed"))
    assert "sealed_channel" not in loose.fields


@given(st.integers(0, len(HISTORY)), st.integers(0, len(HISTORY)))
def test_changes_lead_from_one_moment_to_the_other(one: int, other: int) -> None:
    before, after = standing(min(one, other)), standing(max(one, other))
    changes = before.changes_to(after)
    rebuilt = {key: dict(entry.fields) for key, entry in before.entries.items()}
    for change in changes:
        if not change.field:
            if change.after:
                rebuilt[change.key] = {}
            else:
                del rebuilt[change.key]
        else:
            assert rebuilt[change.key].get(change.field, "") == change.before
            rebuilt[change.key][change.field] = change.after

    def without_empty(found: dict[Key, dict[str, str]]) -> dict[Key, dict[str, str]]:
        return {key: {n: v for n, v in one.items() if v} for key, one in found.items()}

    assert without_empty(rebuilt) == without_empty(
        {key: dict(entry.fields) for key, entry in after.entries.items()}
    )
    if one == other:
        assert changes == []


def test_who_removed_something_is_named() -> None:
    (change,) = standing(9).changes_to(standing(10))
    assert change == Change(Key(MEMBERS, f"{ORG}/members/bob"), "", "there", "", 10, "users/ann")


def test_every_type_that_is_folded_is_an_event_and_is_in_the_history() -> None:
    assert EVENTS.keys() >= TYPES
    shown = {event.DESCRIPTOR.full_name for _, event in HISTORY}
    assert {name.rpartition(".")[2] for name in TYPES - shown} == {
        "ModelRenamed", "ModelDescribed", "ModelVersionDescribed", "ModelVersionTagged",
        "ProjectDescribed",
    }  # fmt: skip


def broken(rule: int, subject: str = "") -> tuple[int, list[int]]:
    rules, examined, found = Rules(rule, subject), 0, []
    for position, (actor, event) in enumerate(HISTORY, 1):
        rules.learn(event, actor)
        if rules.concerns(event):
            examined += 1
            if rules.breaks(event, actor, "orgs/acme/projects/p/runs/r"):
                found.append(position)
    return examined, found


@pytest.mark.parametrize(
    ("rule", "subject", "expected"),
    [
        (pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER, "", (2, [])),
        (pb.AUDIT_RULE_MOVED_BY_PROMOTION, "", (7, [5, 7, len(HISTORY) - 4, len(HISTORY) - 1])),
        (
            pb.AUDIT_RULE_MOVED_BY_PROMOTION,
            "Production",
            (5, [7, len(HISTORY) - 4, len(HISTORY) - 1]),
        ),
        (pb.AUDIT_RULE_NOT_MOVED_IN_EMERGENCY, "Production", (5, [len(HISTORY) - 2])),
        (pb.AUDIT_RULE_NOT_MOVED_IN_EMERGENCY, "champion", (2, [EMERGENCY])),
        (pb.AUDIT_RULE_PROMOTION_APPROVED_BY_ANOTHER, "", (2, [EMERGENCY - 2])),
        (pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER, "other", (0, [])),
        (pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER, "", (1, [7])),
        (pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER, "Staging", (0, [])),
        (pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER, "", (3, [])),
        (pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER, "", (0, [])),
    ],
)
def test_rule_names_exactly_what_its_author_did_alone(
    rule: int, subject: str, expected: tuple[int, list[int]]
) -> None:
    assert broken(rule, subject) == expected


def test_approval_by_the_creator_breaks_the_rule() -> None:
    rules = Rules(pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER, "")
    rules.learn(pb.RunCreated(name="r", creator="users/ann"), "users/ann")
    assert rules.breaks(pb.RunApprovalGiven(approver="users/ann"), "users/ann", "r")
    assert not rules.breaks(pb.RunApprovalGiven(approver="users/bob"), "users/bob", "r")
    rules = Rules(pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER, "")
    raised = pb.MemberRoleChanged(parent=ORG, user="users/ann", new_role=pb.ROLE_OWNER)
    assert rules.breaks(raised, "users/ann", ORG)
    assert not rules.breaks(pb.ModelDeleted(), "users/ann", ORG)


def test_every_rule_reads_types_that_exist() -> None:
    assert set(RULE_TYPES) == set(pb.AuditRule.values()) - {0}
    for names in RULE_TYPES.values():
        assert {f"epochal.v1.{name}" for name in names} <= EVENTS.keys()
