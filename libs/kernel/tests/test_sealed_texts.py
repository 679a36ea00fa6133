from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.sealed_texts import ERASED, opened, seal, writer_of
from epochal_kernel.log.subjects import Subjects, erase
from hypothesis import given
from hypothesis import strategies as st
from kernel_world import LogWorld, context

ANN = "users/anon-" + "a2" * 13
BOB = "users/anon-" + "b3" * 13
KEY, OTHER = bytes(32), bytes([1]) * 32


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_text_is_read_with_the_key_of_its_writer_only(text: str) -> None:
    sealed = seal(text, ANN, KEY)
    assert writer_of(sealed) == ANN
    assert opened(sealed, KEY) == text
    assert opened(sealed, OTHER) == sealed
    assert opened(sealed, None) == ERASED
    assert seal(text, ANN, KEY) != sealed


def test_a_sealed_text_is_not_taken_for_another_persons() -> None:
    forged = seal("I agree", ANN, KEY).replace(ANN[6:], BOB[6:])
    assert writer_of(forged) == BOB
    assert opened(forged, KEY) == forged


@pytest.mark.parametrize("text", ["", "a note", "sealed:", "sealed:anon-x:AAAA", f"{ANN}:AAAA"])
def test_what_is_not_sealed_is_left_alone(text: str) -> None:
    assert writer_of(text) is None
    assert opened(text, KEY) == text


@pytest.mark.parametrize("end", ["AAAA", "A", "=", "AAAA" * 20])
def test_letters_that_only_look_sealed_are_left_alone(end: str) -> None:
    text = f"sealed:{ANN[6:]}:{end}"
    assert opened(text, KEY) == text


async def noted(world: LogWorld, text: str, actor: str) -> None:
    event = NewEvent(pb.RunNoteSet(run="orgs/acme/projects/p/runs/1", note=text), "run")
    of = replace(context(), actor=actor)
    await world.appender.append(Command(of, Stream("mark", uuid4()), None, [event]))


async def notes(world: LogWorld) -> list[str]:
    codec = EventCodec(Subjects(world.pool, SystemClock()))
    records = await world.reader.page(0)  # type: ignore[arg-type]  # positions are numbers
    return [(await codec.decode(record)).payload.note for record in records]


async def test_words_of_a_person_are_in_no_leaf_and_go_with_them(world: LogWorld) -> None:
    said = ["my dog ate it", seal("quoted", ANN, KEY), ""]
    for text in said:
        await noted(world, text, "users/ann")
    await noted(world, "written by a run", "runs/1")
    await noted(world, "and by bob", "users/bob")
    stored = await world.pool.fetch("SELECT payload FROM log.event ORDER BY position")
    assert not any(b"dog" in row[0] or b"bob" in row[0] for row in stored)
    assert b"written by a run" in stored[3][0]
    assert await notes(world) == [*said, "written by a run", "and by bob"]
    async with world.pool.acquire() as connection:
        ann = await connection.fetchval("SELECT pseudonym FROM log.subject WHERE name='users/ann'")
        await erase(connection, ann)
    assert await notes(world) == [ERASED, ERASED, "", "written by a run", "and by bob"]
