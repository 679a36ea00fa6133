"""Rules that a window of history is held against: that a second person was there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_lineage.domain.model import version_number

#: Rights by which a version may be moved, by the rule that says so.
_GATED_RULES: Final[dict[int, frozenset[int]]] = {
    pb.AUDIT_RULE_MOVED_BY_PROMOTION: frozenset(
        {pb.PROMOTION_KIND_GATED, pb.PROMOTION_KIND_EMERGENCY, pb.PROMOTION_KIND_ROLLBACK}
    ),
    pb.AUDIT_RULE_NOT_MOVED_IN_EMERGENCY: frozenset(
        {pb.PROMOTION_KIND_UNSPECIFIED, pb.PROMOTION_KIND_GATED, pb.PROMOTION_KIND_ROLLBACK}
    ),
}
_ALIAS_RULES: Final = frozenset({pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER, *_GATED_RULES})
_STAGE_RULES: Final = frozenset({pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER, *_GATED_RULES})


@dataclass
class Rules:
    """Remembers who made what, and says whether an event was done by its author alone."""

    rule: int
    subject: str
    authors: dict[str, str] = field(default_factory=dict)
    parties: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def concerns(self, event: Message) -> bool:
        """Whether the rule speaks of the event."""
        match event:
            case pb.ModelAliasSet():
                return self.rule in _ALIAS_RULES and self.subject in ("", event.alias)
            case pb.ModelVersionStageChanged():
                return self.rule in _STAGE_RULES and self.subject in ("", event.stage)
            case pb.DatasetStageSet() | pb.ComponentStageSet():
                return self.rule in _GATED_RULES and self.subject in ("", event.stage)
            case pb.PromotionApproved():
                return self.rule == pb.AUDIT_RULE_PROMOTION_APPROVED_BY_ANOTHER
            case pb.RunApprovalGiven():
                return self.rule == pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER
            case pb.MemberAdded() | pb.MemberRoleChanged():
                return self.rule == pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER
            case _:
                return False

    def breaks(self, event: Message, actor: str, resource: str) -> bool:
        """Whether an event that the rule speaks of was done by its own author."""
        match event:
            case (
                pb.ModelAliasSet()
                | pb.ModelVersionStageChanged()
                | pb.DatasetStageSet()
                | pb.ComponentStageSet()
            ) if self.rule in _GATED_RULES:
                return event.kind not in _GATED_RULES[self.rule]
            case pb.PromotionApproved():
                return event.approver in self.parties.get(event.promotion, ())
            case pb.ModelAliasSet():
                return self.authors.get(f"{event.model}/versions/{event.version}") == actor
            case pb.ModelVersionStageChanged():
                return self.authors.get(event.name) == actor
            case pb.RunApprovalGiven():
                return self.authors.get(resource) == event.approver
            case pb.MemberAdded() | pb.MemberRoleChanged():
                return event.user == actor
            case _:
                return False

    def learn(self, event: Message, actor: str) -> None:
        """Remember who made what."""
        match event:
            case pb.ModelVersionRegistered() if version_number(event.name):
                self.authors[event.name] = event.creator or actor
            case pb.RunCreated():
                self.authors[event.name] = event.creator or actor
            case pb.PromotionRequested():
                self.parties[event.name] = (event.requester, *event.authors)
            case _:
                return


#: Types that move a version of a model, a dataset or a component.
_MOVES: Final = (
    "ModelAliasSet",
    "ModelVersionStageChanged",
    "DatasetStageSet",
    "ComponentStageSet",
)
#: Types that each rule must read.
RULE_TYPES: Final[dict[int, tuple[str, ...]]] = {
    pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER: ("ModelVersionRegistered", "ModelAliasSet"),
    pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER: ("ModelVersionRegistered", "ModelVersionStageChanged"),
    pb.AUDIT_RULE_MOVED_BY_PROMOTION: _MOVES,
    pb.AUDIT_RULE_NOT_MOVED_IN_EMERGENCY: _MOVES,
    pb.AUDIT_RULE_PROMOTION_APPROVED_BY_ANOTHER: ("PromotionRequested", "PromotionApproved"),
    pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER: ("RunCreated", "RunApprovalGiven"),
    pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER: ("MemberAdded", "MemberRoleChanged"),
}
