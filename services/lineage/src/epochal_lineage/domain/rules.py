"""Rules that a window of history is held against: that a second person was there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_lineage.domain.model import version_number


@dataclass
class Rules:
    """Remembers who made what, and says whether an event was done by its author alone."""

    rule: int
    subject: str
    authors: dict[str, str] = field(default_factory=dict)

    def concerns(self, event: Message) -> bool:
        """Whether the rule speaks of the event."""
        match event:
            case pb.ModelAliasSet():
                return self.rule == pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER and (
                    self.subject in ("", event.alias)
                )
            case pb.ModelVersionStageChanged():
                return self.rule == pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER and (
                    self.subject in ("", event.stage)
                )
            case pb.RunApprovalGiven():
                return self.rule == pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER
            case pb.MemberAdded() | pb.MemberRoleChanged():
                return self.rule == pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER
            case _:
                return False

    def breaks(self, event: Message, actor: str, resource: str) -> bool:
        """Whether an event that the rule speaks of was done by its own author."""
        match event:
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
            case _:
                return


#: Types that each rule must read.
RULE_TYPES: Final[dict[int, tuple[str, ...]]] = {
    pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER: ("ModelVersionRegistered", "ModelAliasSet"),
    pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER: ("ModelVersionRegistered", "ModelVersionStageChanged"),
    pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER: ("RunCreated", "RunApprovalGiven"),
    pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER: ("MemberAdded", "MemberRoleChanged"),
}
