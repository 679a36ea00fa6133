"""Secrets of channels: sealed in the log, left out of answers."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import DataLoss
from epochal_notifier.sealing import Sealer, without_secrets
from hypothesis import given
from hypothesis import strategies as st

CHANNELS = [
    pb.Channel(webhook=pb.WebhookChannel(url="https://a.example/x?k=1", secret="s3cr3t" * 4)),
    pb.Channel(slack=pb.SlackChannel(url="https://hooks.slack.com/services/T0/B0/s3cr3t")),
    pb.Channel(email=pb.EmailChannel(to=["ann@example.com"])),
]


@given(st.sampled_from(CHANNELS), st.text(min_size=1, max_size=20))
def test_what_is_sealed_opens_with_the_same_key_alone(channel: pb.Channel, key: str) -> None:
    sealed = Sealer(key).seal(channel)
    assert Sealer(key).open(sealed) == channel
    assert b"s3cr3t" not in sealed
    with pytest.raises(DataLoss, match="EPOCHAL_SECRET_KEY"):
        Sealer(f"{key}x").open(sealed)


def test_two_seals_of_one_channel_look_different() -> None:
    sealer = Sealer("key")
    assert sealer.seal(CHANNELS[0]) != sealer.seal(CHANNELS[0])


@pytest.mark.parametrize("sealed", [b"", b"x", b"gAAAAA"])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(DataLoss):
        Sealer("key").open(sealed)


def test_a_sealer_needs_a_key() -> None:
    with pytest.raises(ValueError, match="EPOCHAL_SECRET_KEY"):
        Sealer("")


def test_answers_show_where_and_not_the_secret() -> None:
    webhook, slack, mail = (without_secrets(channel) for channel in CHANNELS)
    assert webhook == pb.Channel(webhook=pb.WebhookChannel(url="https://a.example/x?k=1"))
    assert slack.slack.url == "https://hooks.slack.com/..."
    assert mail == CHANNELS[2]
    assert CHANNELS[0].webhook.secret
