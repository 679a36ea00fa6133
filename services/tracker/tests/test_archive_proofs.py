"""The single-file verifier reads what the tracker archives, and finds every flipped byte."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from epochal.audit_verifier import Broken, Told, check_object, read_fields
from epochal_tracker.domain.archiving import ArchivePart, KeptBatch, read, written
from epochal_tracker.merkle import Tree
from hypothesis import given, settings
from hypothesis import strategies as st

PRODUCER = "0193a000-0000-7000-8000-00000000000a"

payloads = st.lists(
    st.one_of(st.none(), st.binary(min_size=1, max_size=40), st.just(b"compressible " * 30)),
    min_size=1,
    max_size=20,
).filter(any)


def part(contents: list[bytes | None], before: int, after: int) -> ArchivePart:
    """Some batches amid others of a producer; those without content are there by hash."""
    kept = [
        KeptBatch(before + n, hashlib.sha256(one or b"another kind").digest(), one)
        for n, one in enumerate(contents, start=1)
    ]
    others = [hashlib.sha256(bytes([n])).digest() for n in range(before + after)]
    leaves = [*others[:before], *(one.leaf for one in kept), *others[before:]]
    tree = Tree(leaves)
    proof = tree.range_proof(before, before + len(kept))
    run = "orgs/acme/projects/vision/runs/0192f0c0-0000-7000-8000-000000000001"
    return ArchivePart(run, PRODUCER, "points", True, tree.size, tree.root, before, proof, kept)


def told(one: ArchivePart, data: bytes) -> Told:
    return Told(
        position=7,
        producer=one.producer,
        sha256=hashlib.sha256(data).digest(),
        first=one.batches[0].batch,
        last=one.batches[-1].batch,
        sealed=True,
        size=one.tree_size,
        root=one.root,
    )


@settings(max_examples=60)
@given(payloads, st.integers(0, 9), st.integers(0, 9))
def test_what_is_written_is_read_and_proved(
    contents: list[bytes | None], before: int, after: int
) -> None:
    one = part(contents, before, after)
    data = written(one)
    assert read(data) == one
    assert check_object(data, told(one, data)) == (sum(map(bool, contents)), 0)


@settings(max_examples=150)
@given(payloads, st.integers(0, 9), st.data())
def test_a_flipped_bit_is_found_wherever_it_is(
    contents: list[bytes | None], before: int, data: st.DataObject
) -> None:
    one = part(contents, before, 3)
    whole = bytearray(written(one))
    place = data.draw(st.integers(0, len(whole) - 1))
    said = told(one, bytes(whole))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Broken, match=f"archive object {said.sha256.hex()}"):
        check_object(bytes(whole), said)


def test_a_damaged_batch_is_named() -> None:
    one = part([b"first" * 9, b"second" * 40, None], 4, 2)
    data = bytearray(written(one))
    data[-1] ^= 1
    with pytest.raises(Broken, match="batch 6 is not as it was archived") as caught:
        check_object(bytes(data), told(one, written(one)))
    assert caught.value.position == 7


def test_an_object_of_another_tree_is_none_of_this_seal() -> None:
    """Somebody who replaces the object, its hashes and its event still has not the seal."""
    one, other = part([b"x"], 3, 3), part([b"y"], 3, 3)
    data = written(other)
    said = replace(told(other, data), root=one.root)
    with pytest.raises(Broken, match="not those of the tree that its event names"):
        check_object(data, said)
    data = written(one)
    for wrong in (
        replace(told(one, data), producer="another"),
        replace(told(one, data), first=1),
        replace(told(one, data), size=one.tree_size + 1),
    ):
        with pytest.raises(Broken):
            check_object(data, wrong)


def test_altered_batches_are_counted_apart_and_checked_by_what_was_stored() -> None:
    one = part([b"as it came", b"joined"], 0, 0)
    kept = [one.batches[0], replace(one.batches[1], payload=b"something else")]
    altered = replace(one, batches=kept)
    data = written(altered)
    assert read(data).batches[1].altered
    assert check_object(data, told(altered, data)) == (1, 1)
    damaged = bytearray(data)
    damaged[-1] ^= 1
    with pytest.raises(Broken, match="batch 2 is not as it was archived"):
        check_object(bytes(damaged), told(altered, data))


@pytest.mark.parametrize("data", [b"\x80", b"\x0a\x05ab", b"\x0b", b"\xff" * 11])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="does not"):
        read_fields(data)
