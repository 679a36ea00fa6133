"""What a stream knows of promotions: those not finished, and who had which place before.

Versions of models have numbers, those of datasets and components the last part of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import epochal_proto.v1 as pb
from google.protobuf.message import Message

#: Holders of one place that are remembered for the way back.
REMEMBERED = 100
#: Finished promotions that a model's state remembers; the read model has all of them.
FINISHED = 256


#: What tells a version from others of its model, dataset or component.
V = TypeVar("V", bound="int | str")


@dataclass(frozen=True, slots=True)
class Wish(Generic[V]):
    """One promotion.

    Attributes:
        version: the one that shall have the place.
        stage: the place, or empty.
        alias: the place, or empty.
        state: where it stands.
        reviewed: whether somebody else has looked at an emergency.
    """

    version: V
    stage: str
    alias: str
    kind: int
    requester: str
    authors: tuple[str, ...]
    state: int = pb.PROMOTION_STATE_OPEN
    approvals: tuple[tuple[str, str], ...] = ()
    reviewed: bool = False
    reason: str = ""

    @property
    def place(self) -> str:
        """The place as a key of `held`."""
        return place_key(self.stage, self.alias)

    def approved_by(self, approver: str, role: str) -> Wish[V]:
        """Return what it is after somebody's yes; who says it again says it anew."""
        others = tuple(one for one in self.approvals if one[0] != approver)
        return replace(self, approvals=(*others, (approver, role)))

    @property
    def review_open(self) -> bool:
        """Whether somebody else must still look at it."""
        return (
            self.kind == pb.PROMOTION_KIND_EMERGENCY
            and self.state == pb.PROMOTION_STATE_COMPLETED
            and not self.reviewed
        )


@dataclass(frozen=True, slots=True)
class Promotions(Generic[V]):
    """Promotions of one model, dataset or component.

    Attributes:
        last: newest number given out.
        wishes: by number; open ones, and the newest of those that are finished.
        held: versions that had each place, the present one last.
    """

    last: int = 0
    wishes: Mapping[int, Wish[V]] = field(default_factory=dict)
    held: Mapping[str, tuple[V, ...]] = field(default_factory=dict)

    def after(self, event: Message, version_of: Callable[[str], V]) -> Promotions[V]:
        """Return what is known after an event; the same object when it says nothing here.

        Args:
            event: of the stream.
            version_of: reads the version out of its name.
        """
        match event:
            case pb.PromotionRequested():
                number = promotion_number(event.name)
                wish = Wish(
                    version=version_of(event.model_version),
                    stage=event.stage,
                    alias=event.alias,
                    kind=event.kind,
                    requester=event.requester,
                    authors=tuple(event.authors),
                    reason=event.reason,
                )
                known = self.wishes
                if len(known) > FINISHED:
                    known = _without_oldest(known)
                return replace(self, last=max(self.last, number), wishes={**known, number: wish})
            case pb.PromotionEvaluated():
                return self._with(event.promotion, state=event.outcome)
            case pb.PromotionApproved():
                number = promotion_number(event.promotion)
                wish_now = self.wishes.get(number)
                if wish_now is None:
                    return self
                approved = wish_now.approved_by(event.approver, event.role)
                return replace(self, wishes={**self.wishes, number: approved})
            case pb.PromotionRejected():
                return self._with(event.promotion, state=pb.PROMOTION_STATE_REJECTED)
            case pb.PromotionCompleted():
                return self._with(event.promotion, state=pb.PROMOTION_STATE_COMPLETED)
            case pb.PromotionReviewed():
                return self._with(event.promotion, reviewed=True)
            case _:
                return self

    def before(self, place: str, holder: V | None, gone: frozenset[V]) -> V | None:
        """Return who had a place before its holder, deleted versions left out."""
        for version in reversed(self.held.get(place, ())):
            if version != holder and version not in gone:
                return version
        return None

    def holding(self, place: str, version: V, kind: int) -> Promotions[V]:
        """Return what is known when a version has got a place."""
        known = self.held.get(place, ())
        if kind == pb.PROMOTION_KIND_ROLLBACK and version in known:
            # The way back goes on back: what was left is not returned to by the next rollback.
            last = len(known) - 1 - known[::-1].index(version)
            now = known[: last + 1]
        else:
            now = (*known, version)[-REMEMBERED:]
        return replace(self, held={**self.held, place: now})

    def _with(self, name: str, **changed: object) -> Promotions[V]:
        number = promotion_number(name)
        wish = self.wishes.get(number)
        if wish is None:
            return self
        return replace(self, wishes={**self.wishes, number: replace(wish, **changed)})  # type: ignore[arg-type]  # named by callers above


def _without_oldest(wishes: Mapping[int, Wish[V]]) -> dict[int, Wish[V]]:
    """Return wishes without the older half of those that nobody waits for."""
    finished = sorted(
        number
        for number, wish in wishes.items()
        if wish.state != pb.PROMOTION_STATE_OPEN and not wish.review_open
    )
    gone = frozenset(finished[: len(finished) // 2])
    return {number: wish for number, wish in wishes.items() if number not in gone}


def place_key(stage: str, alias: str) -> str:
    """Return the key of a place."""
    return f"stage:{stage}" if stage else f"alias:{alias}"


def promotion_number(name: str) -> int:
    """Return the number that the name of a promotion ends in; 0 when it ends in none."""
    number = name.rpartition("/promotions/")[2]
    return int(number) if number.isascii() and number.isdigit() else 0
