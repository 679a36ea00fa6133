"""What a policy keeps anybody from doing around its gates."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_kernel.errors import FailedPrecondition, PermissionDenied

from epochal_lineage.domain.gates.policy import Policy, at_least
from epochal_lineage.domain.model import ModelState
from epochal_lineage.domain.places import Places
from epochal_lineage.domain.promotions import V


def refuse_leaving(
    state: Places[V], policy: Policy, version: V, stage: str = "", alias: str = ""
) -> None:
    """Refuse to take a version out of a stage that is governed.

    It may go on to a stage that comes after it in the policy, or to one that names it as origin.

    Raises:
        FailedPrecondition: it would be.
    """
    left = state.leaves(version, stage, alias)
    if left not in policy.stages:
        return
    place, order = policy.stages.get(stage), list(policy.stages)
    if place is not None and (
        order.index(stage) > order.index(left) or left in (place.origins or ())
    ):
        return
    refuse_taking(policy, left, f"version {version}")


def refuse_taking(policy: Policy, stage: str, holder: str) -> None:
    """Refuse to leave a stage that is governed empty.

    Raises:
        FailedPrecondition: it is governed.
    """
    if stage in policy.stages:
        raise FailedPrecondition(
            f"{holder} is in {stage}, which the registry policy governs: promote another version "
            "in its place, or roll back",
            reason="PLACE_GOVERNED",
        )


def refuse_governed_alias(policy: Policy, alias: str, doing: str) -> None:
    """Refuse to do something to an alias that is governed.

    Raises:
        FailedPrecondition: it is.
    """
    if alias in policy.aliases:
        raise FailedPrecondition(
            f"the registry policy governs {alias!r}: {doing}", reason="PLACE_GOVERNED"
        )


def refuse_holding(state: ModelState, policy: Policy, versions: Sequence[int]) -> None:
    """Refuse to delete versions that have a governed place.

    Raises:
        FailedPrecondition: one has.
    """
    for number in versions:
        known = state.versions.get(number)
        held = [alias for alias, holder in state.aliases.items() if holder == number]
        places = [alias for alias in held if alias in policy.aliases]
        if known is not None and not known.deleted and known.stage in policy.stages:
            places.append(known.stage)
        if places:
            raise FailedPrecondition(
                f"version {number} has {', '.join(sorted(places))}, which the registry policy "
                "governs: give it to another version first",
                reason="PLACE_GOVERNED",
            )


def refuse_unknown_stage(policy: Policy, stage: str) -> None:
    """Refuse a stage that a policy does not have.

    Raises:
        FailedPrecondition: it has not.
    """
    free = {place.displace_to for place in policy.stages.values()} - {""}
    if stage and policy.stages and stage not in policy.stages and stage not in free:
        raise FailedPrecondition(
            f"the registry policy knows no stage {stage!r}: it has "
            f"{', '.join(sorted({*policy.stages, *free}))}",
            reason="UNKNOWN_STAGE",
        )


def refuse_weak(policy: Policy, requester: str, role: str) -> None:
    """Refuse an emergency to somebody whose role is too weak.

    Raises:
        PermissionDenied: it is.
    """
    wanted = policy.emergency_role
    if not wanted or not at_least(role, wanted):
        raise PermissionDenied(
            f"an emergency needs the role {wanted}; {requester} is {role or 'none'}"
            if wanted
            else "the registry policy allows no emergencies",
            reason="EMERGENCY_REFUSED",
        )
