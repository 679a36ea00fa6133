"""Giving versions their places: ask, approve, reject, roll back, review.

Every decision is one list of events of one stream, appended whole or not at all: the wish, what
each gate said and on which facts, and the moves. So each place that is governed has one holder at
most, and each move has a promotion that explains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
from epochal_kernel.errors import Aborted, FailedPrecondition, NotFound, PermissionDenied
from google.protobuf.message import Message

from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.governing import refuse_leaving, refuse_unknown_stage, refuse_weak
from epochal_lineage.domain.model import ModelState, VersionState, require_model, require_version
from epochal_lineage.domain.promotions import Wish, place_key


def holder_of(state: ModelState, stage: str, alias: str) -> int:
    """Return the version that has a place, the newest of several; 0 for none."""
    if alias:
        return state.aliases.get(alias, 0)
    return max(
        (number for number, one in state.versions.items() if one.stage == stage and _there(one)),
        default=0,
    )


def has_place(state: ModelState, asked: Asked) -> bool:
    """Whether the version has the place already."""
    if asked.alias:
        return state.aliases.get(asked.alias) == asked.version
    known = state.versions.get(asked.version)
    return known is not None and known.stage == asked.stage


def promote(
    state: ModelState, model: str, asked: Asked, circumstances: Circumstances
) -> Sequence[Message]:
    """Ask for a place, and take it if every gate is open; an open wish is asked again.

    Raises:
        NotFound: no such version.
        FailedPrecondition: the policy does not know the stage, or the version must not leave its.
        PermissionDenied: an emergency by somebody whose role is too weak.
        Aborted: the holder changed while facts were gathered; ask again.
    """
    require_version(state, model, asked.version)
    if has_place(state, asked):
        return []
    policy = circumstances.policy
    refuse_unknown_stage(policy, asked.stage)
    if not asked.emergency:
        refuse_leaving(state, policy, asked.version, asked.stage, asked.alias)
    else:
        refuse_weak(policy, asked.requester, asked.role)
    number, events = _wish(state, model, asked, circumstances)
    wish = wish_for(state, asked, circumstances)
    return [*events, *_decide(state, model, number, wish, circumstances)]


def wish_for(state: ModelState, asked: Asked, circumstances: Circumstances) -> Wish:
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
    )


def approve(
    state: ModelState,
    model: str,
    number: int,
    approver: str,
    role: str,
    comment: str,
    circumstances: Circumstances,
) -> Sequence[Message]:
    """Say yes to an open promotion, and move the version if that was the last yes it needed.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: it is not open.
        PermissionDenied: the approver made the version or asked for the place.
        Aborted: the holder changed while facts were gathered; ask again.
    """
    wish, name = _open_wish(state, model, number), f"{model}/promotions/{number}"
    require_version(state, model, wish.version)
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
    after = state.promotions.after(approved).wishes[number]
    return [approved, *_decide(state, model, number, after, circumstances)]


def reject(
    state: ModelState, model: str, number: int, rejecter: str, reason: str
) -> Sequence[Message]:
    """Say no to an open promotion.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: it is not open.
    """
    _open_wish(state, model, number)
    name = f"{model}/promotions/{number}"
    return [pb.PromotionRejected(promotion=name, rejecter=rejecter, reason=reason)]


def roll_back(
    state: ModelState, model: str, asked: Asked, circumstances: Circumstances
) -> Sequence[Message]:
    """Give a place back to the version that had it before; gates are not asked again.

    Raises:
        NotFound: no such model.
        FailedPrecondition: nobody had it before.
    """
    require_model(state, model)
    place = place_key(asked.stage, asked.alias)
    holder = holder_of(state, asked.stage, asked.alias)
    gone = frozenset(number for number, one in state.versions.items() if one.deleted)
    before = state.promotions.before(place, holder, gone)
    if not before:
        raise FailedPrecondition(
            f"no version of {model} had {asked.stage or asked.alias} before"
            + (f" version {holder}" if holder else ""),
            reason="NOTHING_TO_ROLL_BACK_TO",
            resource=model,
        )
    number = state.promotions.last + 1
    requested = pb.PromotionRequested(
        name=f"{model}/promotions/{number}",
        model_version=f"{model}/versions/{before}",
        stage=asked.stage,
        alias=asked.alias,
        kind=pb.PROMOTION_KIND_ROLLBACK,
        requester=asked.requester,
        reason=asked.reason,
    )
    wish = state.promotions.after(requested).wishes[number]
    return [requested, *_moves(state, model, number, wish, circumstances.policy)]


def review(
    state: ModelState, model: str, number: int, reviewer: str, comment: str
) -> Sequence[Message]:
    """Close the review of an emergency.

    Raises:
        NotFound: no such promotion.
        FailedPrecondition: there is nothing to review.
        PermissionDenied: the reviewer moved the version or made it.
    """
    wish, name = known_wish(state, model, number), f"{model}/promotions/{number}"
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


def facts_of(state: ModelState, wish: Wish, circumstances: Circumstances) -> pb.GateFacts:
    """Return what gates look at.

    Raises:
        Aborted: metrics of the present holder were not gathered.
    """
    holder = holder_of(state, wish.stage, wish.alias)
    missing = [one for one in (wish.version, holder) if one and one not in circumstances.metrics]
    if missing:
        raise Aborted(f"version {missing[0]} came into play while it was decided: ask again")
    facts = pb.GateFacts(
        stage=wish.stage,
        alias=wish.alias,
        old_stage=state.versions[wish.version].stage,
        metrics=circumstances.metrics[wish.version],
        holder=holder,
        holder_metrics=circumstances.metrics[holder] if holder else {},
        validations=circumstances.validations,
        approvals=[pb.GateApproval(approver=who, role=role) for who, role in wish.approvals],
        authors=wish.authors,
        requester=wish.requester,
        signed_by=circumstances.signed_by,
        version=wish.version,
    )
    facts.time.FromDatetime(circumstances.now)
    return facts


def _decide(
    state: ModelState, model: str, number: int, wish: Wish, circumstances: Circumstances
) -> list[Message]:
    policy = circumstances.policy
    facts = facts_of(state, wish, circumstances)
    results = evaluate(policy, facts)
    outcome = outcome_of(results)
    if wish.kind == pb.PROMOTION_KIND_EMERGENCY:
        outcome = pb.PROMOTION_STATE_COMPLETED
    elif wish.approvals and outcome == pb.PROMOTION_STATE_REFUSED:
        # People have said yes to it: it stays open, and may be asked again when the gate is.
        outcome = pb.PROMOTION_STATE_OPEN
    evaluated = pb.PromotionEvaluated(
        promotion=f"{model}/promotions/{number}",
        policy_version=policy.version,
        policy_digest=policy.digest,
        facts=facts,
        results=results,
        outcome=outcome,
    )
    if outcome != pb.PROMOTION_STATE_COMPLETED:
        return [evaluated]
    return [evaluated, *_moves(state, model, number, wish, policy)]


def _moves(state: ModelState, model: str, number: int, wish: Wish, policy: Policy) -> list[Message]:
    name = f"{model}/promotions/{number}"
    holder = holder_of(state, wish.stage, wish.alias)
    events: list[Message] = []
    if wish.alias:
        events.append(
            pb.ModelAliasSet(
                model=model,
                alias=wish.alias,
                version=wish.version,
                old_version=holder,
                promotion=name,
                kind=wish.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
            )
        )
    else:
        place = policy.stages.get(wish.stage)
        if place is not None and place.single:
            events += [
                _staged(model, other, place.displace_to, one.stage, name, wish.kind)
                for other, one in sorted(state.versions.items())
                if other != wish.version and one.stage == wish.stage and _there(one)
            ]
        old = state.versions[wish.version].stage
        events.append(_staged(model, wish.version, wish.stage, old, name, wish.kind))
    completed = pb.PromotionCompleted(promotion=name, holder=wish.version, old_holder=holder)
    return [*events, completed]


def _staged(
    model: str, version: int, stage: str, old_stage: str, promotion: str, kind: int
) -> pb.ModelVersionStageChanged:
    return pb.ModelVersionStageChanged(
        name=f"{model}/versions/{version}",
        stage=stage,
        old_stage=old_stage,
        promotion=promotion,
        kind=kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
    )


def _wish(
    state: ModelState, model: str, asked: Asked, circumstances: Circumstances
) -> tuple[int, list[Message]]:
    """Return the number of the open wish for this, or of a new one with its event."""
    known = 0 if asked.emergency else _open_number(state, asked)
    if known:
        return known, []
    number = state.promotions.last + 1
    requested = pb.PromotionRequested(
        name=f"{model}/promotions/{number}",
        model_version=f"{model}/versions/{asked.version}",
        stage=asked.stage,
        alias=asked.alias,
        kind=_kind(asked),
        requester=asked.requester,
        reason=asked.reason,
        authors=circumstances.authors,
    )
    return number, [requested]


def _open_number(state: ModelState, asked: Asked) -> int:
    place = (asked.version, asked.stage, asked.alias)
    for number, wish in state.promotions.wishes.items():
        same = (wish.version, wish.stage, wish.alias) == place
        if same and wish.state == pb.PROMOTION_STATE_OPEN:
            return number
    return 0


def _kind(asked: Asked) -> pb.PromotionKind:
    return pb.PROMOTION_KIND_EMERGENCY if asked.emergency else pb.PROMOTION_KIND_GATED


def known_wish(state: ModelState, model: str, number: int) -> Wish:
    """Return a promotion that is open, or was finished lately.

    Raises:
        NotFound: there never was one of this number.
        FailedPrecondition: it was finished long ago.
    """
    require_model(state, model)
    wish = state.promotions.wishes.get(number)
    if wish is None:
        name = f"{model}/promotions/{number}"
        if 0 < number <= state.promotions.last:
            raise FailedPrecondition(
                f"{name} was finished long ago", reason="PROMOTION_NOT_OPEN", resource=name
            )
        raise NotFound(f"there is no {name}", resource=name)
    return wish


def _open_wish(state: ModelState, model: str, number: int) -> Wish:
    wish = known_wish(state, model, number)
    if wish.state != pb.PROMOTION_STATE_OPEN:
        word = pb.PromotionState.Name(wish.state).removeprefix("PROMOTION_STATE_").lower()
        name = f"{model}/promotions/{number}"
        raise FailedPrecondition(
            f"{name} is {word}, not open", reason="PROMOTION_NOT_OPEN", resource=name
        )
    return wish


def _there(version: VersionState) -> bool:
    return not version.deleted
