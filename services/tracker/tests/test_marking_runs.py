"""Notes, pins, bookmarks and saved searches: what is decided, and what rows say of it."""

from __future__ import annotations

from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import AlreadyExists, NotFound, PermissionDenied
from epochal_testing.projecting import project, recorded
from epochal_tracker.domain import marking
from epochal_tracker.projections import READ_MODEL
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

RUN_ID = UUID("0193a000-0000-7000-8000-000000000001")
RUN = f"orgs/acme/projects/vision/runs/{RUN_ID}"
NAME = "orgs/acme/projects/vision/searches/best"
USERS = ["users/alice", "users/bob"]
MARKS = marking.MarksAggregate()
SEARCHES = marking.SearchAggregate()

asked = st.one_of(
    st.builds(
        lambda note, pinned: pb.AnnotateRunRequest(run=RUN, note=note, pinned=pinned),
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.booleans(),
    ),
    st.builds(lambda remove: pb.BookmarkRunRequest(run=RUN, remove=remove), st.booleans()),
)


@given(st.lists(st.tuples(asked, st.sampled_from(USERS)), max_size=20))
def test_marks_are_what_was_asked_for_last_and_rows_agree(
    history: list[tuple[pb.AnnotateRunRequest | pb.BookmarkRunRequest, str]],
) -> None:
    state, events = MARKS.initial(), list[Message]()
    note, pinned, bookmarked = "", False, set[str]()
    for request, user in history:
        if isinstance(request, pb.AnnotateRunRequest):
            decided = marking.annotate(state, request, user)
            note = request.note if request.HasField("note") else note
            pinned = request.pinned if request.HasField("pinned") else pinned
        else:
            decided = marking.bookmark(state, request.run, user, wanted=not request.remove)
            bookmarked = bookmarked - {user} if request.remove else bookmarked | {user}
        for event in decided:
            state = MARKS.evolve(state, event)
        events += decided
        assert (state.note, state.pinned, state.bookmarked) == (note, pinned, bookmarked)
    stored = project(
        READ_MODEL, [recorded(event, place, RUN_ID) for place, event in enumerate(events, 1)]
    )["run_mark"]
    rows = {(row.kind, row.owner, row.text) for row in stored.values()}
    expected = {("bookmark", user, "") for user in bookmarked}
    expected |= {("note", "", note)} if note else set()
    expected |= {("pin", "", "")} if pinned else set()
    assert rows == expected


def after(*events: Message) -> pb.SavedSearch | None:
    state = SEARCHES.initial()
    for event in events:
        state = SEARCHES.evolve(state, event)
    return state


def test_a_search_is_its_owner_s_until_it_is_shared() -> None:
    alice, bob = USERS
    saved = marking.save(None, NAME, pb.SavedSearch(filter="status:failed", shared=True), alice)
    state = after(*saved)
    assert state == pb.SavedSearch(name=NAME, filter="status:failed", owner=alice)
    assert marking.save(state, NAME, pb.SavedSearch(filter="status:failed"), alice) == ()
    with pytest.raises(NotFound):
        marking.visible(state, NAME, bob)
    with pytest.raises(AlreadyExists, match="users/alice's"):
        marking.save(state, NAME, pb.SavedSearch(), bob)
    with pytest.raises(NotFound):
        marking.share(state, NAME, bob, shared=True)
    shared = after(*saved, *marking.share(state, NAME, alice, shared=True))
    assert marking.visible(shared, NAME, bob).shared
    assert marking.share(shared, NAME, alice, shared=True) == ()
    with pytest.raises(PermissionDenied):
        marking.share(shared, NAME, bob, shared=False)
    # Saving again changes what it is, not who sees it.
    (again,) = marking.save(shared, NAME, pb.SavedSearch(filter="name:a"), alice)
    assert isinstance(again, pb.SearchSaved)
    assert (again.search.shared, again.search.filter) == (True, "name:a")


def test_its_owner_deletes_a_search_and_an_admin_a_shared_one() -> None:
    alice, bob = USERS
    saved = marking.save(None, NAME, pb.SavedSearch(), alice)
    shared = marking.share(after(*saved), NAME, alice, shared=True)
    with pytest.raises(NotFound):
        marking.delete(after(*saved), NAME, bob, administrator=True)
    with pytest.raises(PermissionDenied, match="an admin of the project"):
        marking.delete(after(*saved, *shared), NAME, bob, administrator=False)
    gone = marking.delete(after(*saved, *shared), NAME, bob, administrator=True)
    assert gone == [pb.SearchDeleted(name=NAME, requester=bob)]
    assert after(*saved, *shared, *gone) is None
    stored = project(
        READ_MODEL,
        [recorded(event, place, RUN_ID) for place, event in enumerate([*saved, *shared], 1)],
    )
    (row,) = stored["saved_search"].values()
    assert (row.name, row.owner, row.shared) == (NAME, alice, True)
    assert row.project == "orgs/acme/projects/vision"
    history = [*saved, *shared, *gone]
    assert not project(
        READ_MODEL, [recorded(event, place, RUN_ID) for place, event in enumerate(history, 1)]
    )["saved_search"]
