"""Calls about promotions, for either client: places of models, stages of all the others."""

from __future__ import annotations

from typing import TypeAlias

import epochal_proto.v1 as pb
from epochal_proto.method import UnaryMethod
from epochal_proto.v1.services import PromotionService, StageService
from google.protobuf.message import Message

from epochal.errors import InvalidArgument

#: A method and what it is asked.
Asked: TypeAlias = tuple[UnaryMethod[Message, pb.Promotion], Message]


def promote(
    version: str, stage: str, alias: str, reason: str, dry_run: bool, emergency: bool
) -> Asked:
    """Returns the call that asks for a place of a version.

    Raises:
        InvalidArgument: An alias is asked for where there are none.
    """
    if "/models/" in version:
        return PromotionService.PROMOTE_MODEL_VERSION, pb.PromoteModelVersionRequest(
            name=version,
            stage=stage,
            alias=alias,
            reason=reason,
            validate_only=dry_run,
            emergency=emergency,
        )
    _refuse_alias(version, alias)
    return StageService.PROMOTE_VERSION, pb.PromoteVersionRequest(
        name=version, stage=stage, reason=reason, validate_only=dry_run, emergency=emergency
    )


def roll_back(resource: str, reason: str, stage: str, alias: str) -> Asked:
    """Returns the call that gives a place back.

    Raises:
        InvalidArgument: An alias is named where there are none.
    """
    if "/models/" in resource:
        return PromotionService.ROLLBACK_MODEL, pb.RollbackModelRequest(
            name=resource, stage=stage, alias=alias, reason=reason
        )
    _refuse_alias(resource, alias)
    return StageService.ROLLBACK_STAGE, pb.RollbackStageRequest(
        name=resource, stage=stage, reason=reason
    )


def _refuse_alias(name: str, alias: str) -> None:
    if alias:
        raise InvalidArgument(f"{name} is of no model: only models have aliases, give a stage")
