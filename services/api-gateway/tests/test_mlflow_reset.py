"""A reset is offered on one machine only."""

import pytest
from epochal_gateway.doors.mlflow.resetting import assert_loopback
from epochal_kernel.errors import InvalidArgument


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.5.5.5"])
def test_loopback_may_be_reset(host: str) -> None:
    assert_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example.org", ""])
def test_what_others_reach_is_never_reset(host: str) -> None:
    with pytest.raises(InvalidArgument, match="bind it to 127"):
        assert_loopback(host)
