"""Range headers (RFC 9110 section 14.1.2), against a slice of the bytes."""

from __future__ import annotations

import pytest
from epochal_gateway.doors.artifacts_door import _expected, _range
from epochal_kernel.errors import InvalidArgument, OutOfRange
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

DATA = bytes(range(10))


def served(header: str, data: bytes = DATA) -> bytes | None:
    """The bytes served, None when nothing can be."""
    try:
        start, end = _range(header, len(data))
    except OutOfRange:
        return None
    assert 0 <= start <= end <= len(data)
    return data[start:end]


@given(st.integers(0, 15), st.integers(0, 15))
def test_first_and_last_are_both_served(first: int, last: int) -> None:
    wanted = DATA[first : last + 1]
    if last < first:
        assert served(f"bytes={first}-{last}") == DATA  # malformed: ignored
    else:
        assert served(f"bytes={first}-{last}") == (wanted or None)


@given(st.integers(0, 15))
def test_open_ends_and_suffixes(number: int) -> None:
    assert served(f"bytes={number}-") == (DATA[number:] or None)
    assert served(f"bytes=-{number}") == (DATA[-number:] if number else None)


@pytest.mark.parametrize(
    "header", ["", "bytes=-", "bytes=1-2,4-5", "items=1-2", "bytes=a-b", "bytes=1-2\n", "bytes=²-"]
)
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    assert served(header) == DATA


def test_numbers_of_absurd_length_break_nothing() -> None:
    assert served("bytes=" + "9" * 6_000 + "-") == DATA
    assert served("bytes=0-" + "9" * 18) == DATA


def test_of_an_empty_object_nothing_is_served() -> None:
    assert served("", b"") == b""
    assert served("bytes=0-", b"") is None
    assert served("bytes=-5", b"") == b""
    assert served("bytes=-0", b"") is None


def test_an_expected_digest_is_64_hex_digits() -> None:
    def request(value: bytes) -> Request:
        headers = [(b"epochal-content-sha256", value)]
        return Request({"type": "http", "method": "PUT", "headers": headers})

    assert _expected(request(b"Ab" * 32)) == b"\xab" * 32
    for bad in (b"", b"ab", b"zz" * 32, b"ab" * 33):
        with pytest.raises(InvalidArgument):
            _expected(request(bad))
    assert _expected(Request({"type": "http", "method": "PUT", "headers": []})) is None
