"""Giving versions their places: ask, approve, reject, roll back, review.

Every decision is one list of events of one stream, appended whole or not at all: the wish, what
each gate said and on which facts, and the moves. So each place that is governed has one holder at
most, and each move has a promotion that explains it. Models, datasets and components go the same
way (`Places`).
"""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
from epochal_kernel.errors import Aborted, FailedPrecondition, NotFound, PermissionDenied
from google.protobuf.message import Message

from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.governing import refuse_leaving, refuse_unknown_stage, refuse_weak
from epochal_lineage.domain.places import Places
from epochal_lineage.domain.promotions import V, Wish, place_key


def promote(
    state: Places[V], resource: str, asked: Asked[V], circumstances: Circumstances[V]
) -> Sequence[Message]:
    """Ask for a place, and take it if every gate is open; an open wish is asked again.

    Raises:
        NotFound: no such version.
        FailedPrecondition: the policy does not know the stage, or the version must not leave its.
        PermissionDenied: an emergency by somebody whose role is too weak.
        Aborted: the holder changed while facts were gathered; ask again.
    """
    state.require_version(resource, asked.version)
    if state.has(asked.version, asked.stage, asked.alias):
        return []
    policy = circumstances.policy
    refuse_unknown_stage(policy, asked.stage)
    if not asked.emergency:
        refuse_leaving(state, policy, asked.version, asked.stage, asked.alias)
    else:
        refuse_weak(policy, asked.requester, asked.role)
    number, events = _wish(state, resource, asked, circumstances)
    wish = wish_for(state, asked, circumstances)
    return [*events, *_decide(state, resource, number, wish, circumstances)]


def wish_for(state: Places[V], asked: Asked[V], circumstances: Circumstances[V]) -> Wish[V]:
    """Return the open wish for this, or the one that asking would make."""
    number = 0 if asked.emergency else _open_number(state, asked)
    if number:
        return state.promotions.wishes[number]
    return Wish(
        version=asked.version,
        stage=asked.stage,
        alias=asked.alias,
        kind=_kind(asked),
        requester=asked.requester,
        authors=tuple(circumstances.authors),
        reason=asked.reason,
    )


def approve(
    state: Places[V],
    resource: str,
    number: int,
    approver: str,
    role: str,
    comment: str,
    circumstances: Circumstances[V],
) -> Sequence[Message]:
    """Say yes to an open promotion, and move the version if that was the last yes it needed.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: it is not open.
        PermissionDenied: the approver made the version or asked for the place.
        Aborted: the holder changed while facts were gathered; ask again.
    """
    wish, name = _open_wish(state, resource, number), f"{resource}/promotions/{number}"
    state.require_version(resource, wish.version)
    if approver in (*wish.authors, wish.requester):
        raise PermissionDenied(
            f"{approver} {'asked for' if approver == wish.requester else 'made the version of'} "
            f"{name}: somebody else must approve it",
            reason="OWN_PROMOTION",
            resource=name,
        )
    if (approver, role) in wish.approvals:
        return []
    approved = pb.PromotionApproved(promotion=name, approver=approver, role=role, comment=comment)
    after = wish.approved_by(approver, role)
    return [approved, *_decide(state, resource, number, after, circumstances)]


def reject(
    state: Places[V], resource: str, number: int, rejecter: str, reason: str
) -> Sequence[Message]:
    """Say no to an open promotion.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: it is not open.
    """
    _open_wish(state, resource, number)
    name = f"{resource}/promotions/{number}"
    return [pb.PromotionRejected(promotion=name, rejecter=rejecter, reason=reason)]


def roll_back(
    state: Places[V], resource: str, asked: Asked[V], circumstances: Circumstances[V]
) -> Sequence[Message]:
    """Give a place back to the version that had it before; gates are not asked again.

    Raises:
        NotFound: no such model, dataset or component.
        FailedPrecondition: nobody had it before.
    """
    state.require(resource)
    place = place_key(asked.stage, asked.alias)
    holder = state.holder(asked.stage, asked.alias)
    before = state.promotions.before(place, holder, state.gone() | circumstances.gone)
    if before is None:
        raise FailedPrecondition(
            f"no version of {resource} had {asked.stage or asked.alias} before"
            + (f" version {holder}" if holder else ""),
            reason="NOTHING_TO_ROLL_BACK_TO",
            resource=resource,
        )
    number = state.promotions.last + 1
    requested = pb.PromotionRequested(
        name=f"{resource}/promotions/{number}",
        model_version=f"{resource}/versions/{before}",
        stage=asked.stage,
        alias=asked.alias,
        kind=pb.PROMOTION_KIND_ROLLBACK,
        requester=asked.requester,
        reason=asked.reason,
    )
    wish = Wish(
        version=before,
        stage=asked.stage,
        alias=asked.alias,
        kind=requested.kind,
        requester=asked.requester,
        authors=(),
        reason=asked.reason,
    )
    return [requested, *_moved(state, resource, number, wish, circumstances)]


def review(
    state: Places[V], resource: str, number: int, reviewer: str, comment: str
) -> Sequence[Message]:
    """Close the review of an emergency.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: there is nothing to review.
        PermissionDenied: the reviewer moved the version or made it.
    """
    wish, name = known_wish(state, resource, number), f"{resource}/promotions/{number}"
    if not wish.review_open:
        raise FailedPrecondition(
            f"{name} has no open review", reason="NO_OPEN_REVIEW", resource=name
        )
    if reviewer in (*wish.authors, wish.requester):
        raise PermissionDenied(
            f"{reviewer} had a part in {name}: somebody else must review it",
            reason="OWN_PROMOTION",
            resource=name,
        )
    return [pb.PromotionReviewed(promotion=name, reviewer=reviewer, comment=comment)]


def facts_of(
    state: Places[V], resource: str, wish: Wish[V], circumstances: Circumstances[V]
) -> pb.GateFacts:
    """Return what gates look at.

    Raises:
        Aborted: metrics of the present holder were not gathered.
    """
    holder = state.holder(wish.stage, wish.alias)
    missing = [
        one
        for one in (wish.version, holder)
        if one is not None and one not in circumstances.metrics
    ]
    if missing:
        raise Aborted(f"version {missing[0]} came into play while it was decided: ask again")
    stages = state.stages_of(wish.version)
    number, about = state.numbered(resource, wish.version)
    holder_number, holder_version = state.numbered(resource, holder)
    facts = pb.GateFacts(
        stage=wish.stage,
        alias=wish.alias,
        old_stage=stages[0] if len(stages) == 1 else "",
        old_stages=stages if len(stages) > 1 else (),
        metrics=circumstances.metrics[wish.version],
        holder=holder_number,
        holder_version=holder_version,
        holder_metrics={} if holder is None else circumstances.metrics[holder],
        validations=circumstances.validations,
        approvals=[pb.GateApproval(approver=who, role=role) for who, role in wish.approvals],
        authors=wish.authors,
        requester=wish.requester,
        signed_by=circumstances.signed_by,
        version=number,
        about=about,
        checks=circumstances.checks,
    )
    facts.time.FromDatetime(circumstances.now)
    return facts


def _decide(
    state: Places[V], resource: str, number: int, wish: Wish[V], circumstances: Circumstances[V]
) -> list[Message]:
    policy = circumstances.policy
    facts = facts_of(state, resource, wish, circumstances)
    results = evaluate(policy, facts)
    outcome = outcome_of(results)
    if wish.kind == pb.PROMOTION_KIND_EMERGENCY:
        outcome = pb.PROMOTION_STATE_COMPLETED
    elif wish.approvals and outcome == pb.PROMOTION_STATE_REFUSED:
        # People have said yes to it: it stays open, and may be asked again when the gate is.
        outcome = pb.PROMOTION_STATE_OPEN
    evaluated = pb.PromotionEvaluated(
        promotion=f"{resource}/promotions/{number}",
        policy_version=policy.version,
        policy_digest=policy.digest,
        facts=facts,
        results=results,
        outcome=outcome,
    )
    if outcome != pb.PROMOTION_STATE_COMPLETED:
        return [evaluated]
    return [evaluated, *_moved(state, resource, number, wish, circumstances)]


def _moved(
    state: Places[V], resource: str, number: int, wish: Wish[V], circumstances: Circumstances[V]
) -> list[Message]:
    name = f"{resource}/promotions/{number}"
    holder = state.holder(wish.stage, wish.alias)
    completed = pb.PromotionCompleted(
        promotion=name,
        holder=state.numbered(resource, wish.version)[0],
        old_holder=state.numbered(resource, holder)[0],
        version=f"{resource}/versions/{wish.version}",
        old_version="" if holder is None else f"{resource}/versions/{holder}",
    )
    return [*state.moves(resource, wish, circumstances.policy, name), completed]


def _wish(
    state: Places[V], resource: str, asked: Asked[V], circumstances: Circumstances[V]
) -> tuple[int, list[Message]]:
    """Return the number of the open wish for this, or of a new one with its event."""
    known = 0 if asked.emergency else _open_number(state, asked)
    if known:
        return known, []
    number = state.promotions.last + 1
    requested = pb.PromotionRequested(
        name=f"{resource}/promotions/{number}",
        model_version=f"{resource}/versions/{asked.version}",
        stage=asked.stage,
        alias=asked.alias,
        kind=_kind(asked),
        requester=asked.requester,
        reason=asked.reason,
        authors=circumstances.authors,
    )
    return number, [requested]


def _open_number(state: Places[V], asked: Asked[V]) -> int:
    place = (asked.version, asked.stage, asked.alias)
    for number, wish in state.promotions.wishes.items():
        same = (wish.version, wish.stage, wish.alias) == place
        if same and wish.state == pb.PROMOTION_STATE_OPEN:
            return number
    return 0


def _kind(asked: Asked[V]) -> pb.PromotionKind:
    return pb.PROMOTION_KIND_EMERGENCY if asked.emergency else pb.PROMOTION_KIND_GATED


def known_wish(state: Places[V], resource: str, number: int) -> Wish[V]:
    """Return a promotion that is open, or was finished lately.

    Raises:
        NotFound: there never was one of this number.
        FailedPrecondition: it was finished long ago.
    """
    state.require(resource)
    wish = state.promotions.wishes.get(number)
    if wish is None:
        name = f"{resource}/promotions/{number}"
        if 0 < number <= state.promotions.last:
            raise FailedPrecondition(
                f"{name} was finished long ago", reason="PROMOTION_NOT_OPEN", resource=name
            )
        raise NotFound(f"there is no {name}", resource=name)
    return wish


def _open_wish(state: Places[V], resource: str, number: int) -> Wish[V]:
    wish = known_wish(state, resource, number)
    if wish.state != pb.PROMOTION_STATE_OPEN:
        word = pb.PromotionState.Name(wish.state).removeprefix("PROMOTION_STATE_").lower()
        name = f"{resource}/promotions/{number}"
        raise FailedPrecondition(
            f"{name} is {word}, not open", reason="PROMOTION_NOT_OPEN", resource=name
        )
    return wish
