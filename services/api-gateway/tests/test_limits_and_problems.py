"""Rates, remembered writes, and errors as HTTP."""

from __future__ import annotations

import json

import pytest
from epochal_gateway.doors import limits
from epochal_gateway.doors.limits import LastWrites, RateLimiter
from epochal_gateway.doors.problems import STATUS, http_status, problem, problem_response
from epochal_kernel import errors
from epochal_kernel.errors import EpochalError, ResourceExhausted, Violation
from epochal_testing.clock import ManualClock
from hypothesis import given
from hypothesis import strategies as st


async def test_a_bucket_empties_and_fills_with_time(clock: ManualClock) -> None:
    limiter = RateLimiter(2.0, 3, clock)
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(ResourceExhausted) as caught:
        limiter.take("a")
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.retry_after_s == 0.5
    limiter.take("b")  # another caller's bucket is its own
    await clock.advance(0.5)
    limiter.take("a")
    with pytest.raises(ResourceExhausted):
        limiter.take("a")


async def test_a_bucket_never_holds_more_than_its_burst(clock: ManualClock) -> None:
    limiter = RateLimiter(1.0, 2, clock)
    limiter.take("a")
    await clock.advance(3_600)
    limiter.take("a")
    limiter.take("a")
    with pytest.raises(ResourceExhausted):
        limiter.take("a")


def test_a_refused_call_costs_nothing(clock: ManualClock) -> None:
    limiter = RateLimiter(1.0, 1, clock)
    limiter.take("a")
    waits = []
    for _ in range(3):
        with pytest.raises(ResourceExhausted) as caught:
            limiter.take("a")
        waits.append(caught.value.retry_after_s)
    assert waits == [1.0, 1.0, 1.0]


def test_callers_beyond_the_limit_of_memory_are_forgotten_oldest_first(clock: ManualClock) -> None:
    limiter, writes = RateLimiter(1.0, 1, clock), LastWrites()
    for number in range(limits.REMEMBERED + 1):
        limiter.take(str(number))
        writes.note(str(number), 1)
    limiter.take("0")  # forgotten, so full again
    with pytest.raises(ResourceExhausted):
        limiter.take("2")
    assert writes.of("0") == 0
    assert writes.of("2") == 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 100)), max_size=20))
def test_the_last_write_is_the_furthest(noted: list[tuple[str, int]]) -> None:
    writes = LastWrites()
    for key, position in noted:
        writes.note(key, position)
    for key in "ab":
        assert writes.of(key) == max((p for k, p in noted if k == key), default=0)


def every_error() -> list[type[EpochalError]]:
    found = [EpochalError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_says_what_it_says_over_grpc(kind: type[EpochalError]) -> None:
    error = kind("no", reason="BECAUSE", resource="orgs/a", violations=[Violation("f", "r", "m")])
    content = problem(error)
    assert content["status"] == http_status(error) == STATUS[kind.grpc_code] >= 400
    assert content["code"] == kind.grpc_code
    assert content["retryable"] == kind.retryable
    assert (content["detail"], content["reason"], content["resource"]) == (
        "no",
        "BECAUSE",
        "orgs/a",
    )
    assert content["violations"] == [{"field": "f", "rule": "r", "message": "m"}]
    assert content["type"] == "urn:epochal:error:because"


@pytest.mark.parametrize(
    ("reason", "status"),
    [("METHOD_NOT_ALLOWED", 405), ("BODY_TOO_LARGE", 413), ("RANGE_NOT_SATISFIABLE", 416)],
)
def test_reasons_that_http_has_a_status_for_get_it(reason: str, status: int) -> None:
    response = problem_response(errors.InvalidArgument("x", reason=reason))
    assert response.status_code == json.loads(response.body)["status"] == status
    assert response.headers["content-type"] == "application/problem+json"


def test_headers_tell_when_to_come_back_and_how_to_be_known() -> None:
    assert problem_response(ResourceExhausted("x", retry_after_s=0.2)).headers["retry-after"] == "1"
    assert problem_response(ResourceExhausted("x", retry_after_s=1.2)).headers["retry-after"] == "2"
    assert "retry-after" not in problem_response(ResourceExhausted("x")).headers
    unknown = problem_response(errors.Unauthenticated("x"))
    assert unknown.headers["www-authenticate"] == "Bearer"
