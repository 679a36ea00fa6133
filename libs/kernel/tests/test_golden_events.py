"""Bytes that were written once must be read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from epochal_kernel.log.events import EventCodec
from epochal_proto.v1.events import EVENTS
from google.protobuf.json_format import ParseDict

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "events.json").read_text()
)


def test_every_event_type_has_golden_bytes() -> None:
    assert EVENTS.keys() == GOLDEN.keys(), "run libs/kernel/tests/golden/add_missing.py"


@pytest.mark.parametrize("name", sorted(GOLDEN))
async def test_golden_bytes_still_mean_what_they_meant(name: str) -> None:
    payload = bytes.fromhex(GOLDEN[name]["hex"])
    message = await EventCodec(None).decode_payload(name, payload, 1)
    assert message == ParseDict(GOLDEN[name]["means"], EVENTS[name]())
    assert message.SerializeToString(deterministic=True) == payload


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_bytes_set_every_field_the_type_had(name: str) -> None:
    """A field that was removed or renumbered would be left over as unknown."""
    message = EVENTS[name].FromString(bytes.fromhex(GOLDEN[name]["hex"]))
    known = message.SerializeToString(deterministic=True)
    message.DiscardUnknownFields()
    assert message.SerializeToString(deterministic=True) == known
    assert message.ListFields()
