"""What is told, whatever the channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import epochal_proto.v1 as pb

from epochal_notifier.domain.delivery import Attempt

_WORDS: Final = {
    pb.OCCASION_RUN_SUCCEEDED: ("succeeded", "run.succeeded"),
    pb.OCCASION_RUN_FAILED: ("failed", "run.failed"),
    pb.OCCASION_RUN_CRASHED: ("crashed", "run.crashed"),
    pb.OCCASION_RUN_STOPPED: ("was stopped", "run.stopped"),
    pb.OCCASION_ALERT_RAISED: ("raised an alert", "alert.raised"),
    pb.OCCASION_ALERT_RESOLVED: ("resolved an alert", "alert.resolved"),
    pb.OCCASION_MODEL_CREATED: ("was registered", "model.created"),
    pb.OCCASION_MODEL_VERSION_CREATED: ("has a new version", "model_version.created"),
    pb.OCCASION_MODEL_VERSION_TAG_SET: ("has a tag set", "model_version_tag.set"),
    pb.OCCASION_MODEL_VERSION_TAG_DELETED: ("has a tag removed", "model_version_tag.deleted"),
    pb.OCCASION_MODEL_ALIAS_SET: ("has an alias set", "model_alias.set"),
    pb.OCCASION_MODEL_ALIAS_DELETED: ("has an alias removed", "model_alias.deleted"),
    pb.OCCASION_PROMPT_CREATED: ("was registered", "prompt.created"),
    pb.OCCASION_PROMPT_VERSION_CREATED: ("has a new version", "prompt_version.created"),
    pb.OCCASION_PROMPT_TAG_SET: ("has a tag set", "prompt_tag.set"),
    pb.OCCASION_PROMPT_TAG_DELETED: ("has a tag removed", "prompt_tag.deleted"),
    pb.OCCASION_PROMPT_VERSION_TAG_SET: ("has a tag set", "prompt_version_tag.set"),
    pb.OCCASION_PROMPT_VERSION_TAG_DELETED: ("has a tag removed", "prompt_version_tag.deleted"),
    pb.OCCASION_PROMPT_ALIAS_SET: ("has an alias set", "prompt_alias.set"),
    pb.OCCASION_PROMPT_ALIAS_DELETED: ("has an alias removed", "prompt_alias.deleted"),
    pb.OCCASION_MODEL_STAGE_CHANGED: ("has a version in another stage", "model_stage.changed"),
    pb.OCCASION_PROMOTION_WAITING: ("has a promotion that waits for approval", "promotion.waiting"),
    pb.OCCASION_PROMOTION_REFUSED: ("has a promotion refused", "promotion.refused"),
    pb.OCCASION_PROMOTION_COMPLETED: ("has a version promoted", "promotion.completed"),
    pb.OCCASION_PROMOTION_REJECTED: ("has a promotion rejected", "promotion.rejected"),
    pb.OCCASION_PROMOTION_EMERGENCY: ("was changed in an emergency", "promotion.emergency"),
    pb.OCCASION_PROMOTION_REVIEWED: ("has an emergency reviewed", "promotion.reviewed"),
    pb.OCCASION_MODEL_ROLLED_BACK: ("was rolled back", "model.rolled_back"),
}

_NOUNS: Final = {"datasets": "Dataset", "components": "Component"}


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell.

    Attributes:
        delivery: resource name of the delivery; the idempotency key.
        occasion: pb.Occasion.
        run: resource name of the run, or of the model, dataset or component.
        title: of what it is about.
        creator: who asked for the run.
        reason: in words, may be empty.
        occurred_at: when.
        position: of the event it tells of.
        url: where to see more, may be empty.
        data: JSON of what happened in the registry; empty for runs.
    """

    delivery: str
    occasion: int
    run: str
    title: str
    creator: str
    reason: str
    occurred_at: datetime
    position: int
    url: str
    data: str = ""

    @property
    def verb(self) -> str:
        """What the run or model did, in words."""
        return _WORDS[self.occasion][0]  # type: ignore[index]  # an enum is an int at run time

    @property
    def type(self) -> str:
        """What happened, for programs: "model_stage.changed", "component_stage.changed"."""
        word: str = _WORDS[self.occasion][1]  # type: ignore[index]  # an enum is an int at run time
        return word.replace("model", self._noun.lower(), 1) if self.data else word

    @property
    def headline(self) -> str:
        """One line."""
        return f"{self._noun if self.data else 'Run'} {self.title} {self.verb}"

    @property
    def _noun(self) -> str:
        """What it is about, in the registry."""
        return _NOUNS.get(self.run.split("/")[-2], "Model")

    @property
    def project(self) -> str:
        """Resource name of the project, or the organisation of a component."""
        parts = self.run.split("/")
        return "/".join(parts[:2] if parts[2:3] == ["components"] else parts[:4])


class Deliver(Protocol):
    """A channel: makes one attempt, never raises for what the other side does."""

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Deliver a message."""
        ...
