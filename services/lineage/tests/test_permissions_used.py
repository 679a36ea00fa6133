"""Every permission behind an event is one that the contract knows."""

from __future__ import annotations

import pytest
from epochal_lineage.domain.permissions_used import permission_of, types_allowed_by
from epochal_proto.v1.events import EVENTS
from epochal_proto.v1.services import METHODS


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_permission_is_declared_by_some_rpc(name: str) -> None:
    known = {method.policy.permission for method in METHODS} | {""}
    assert permission_of(name) in known
    assert permission_of(name) == "" or name in types_allowed_by(permission_of(name))


def test_type_of_a_newer_release_has_none() -> None:
    assert permission_of("epochal.v1.NotYet") == ""
    assert types_allowed_by("tea.make") == []
