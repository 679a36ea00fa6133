"""What people put on runs (notes, pins, bookmarks), and the searches they save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, NotFound, PermissionDenied
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Marks:
    """State of a run's marks."""

    note: str = ""
    note_author: str = ""
    pinned: bool = False
    bookmarked: frozenset[str] = frozenset()


class MarksAggregate:
    """Folds the marks of a run: a stream of its own beside the run's others, under the same id."""

    category = "mark"

    def initial(self) -> Marks:
        """No marks."""
        return Marks()

    def evolve(self, state: Marks, event: Message) -> Marks:
        """Fold one event."""
        match event:
            case pb.RunNoteSet():
                return replace(state, note=event.note, note_author=event.author)
            case pb.RunPinned():
                return replace(state, pinned=True)
            case pb.RunUnpinned():
                return replace(state, pinned=False)
            case pb.RunBookmarked():
                return replace(state, bookmarked=state.bookmarked | {event.user})
            case pb.RunUnbookmarked():
                return replace(state, bookmarked=state.bookmarked - {event.user})
            case _:
                return state


def annotate(state: Marks, request: pb.AnnotateRunRequest, actor: str) -> Sequence[Message]:
    """Write a note, pin or unpin; what is so already is no event."""
    events: list[Message] = []
    if request.HasField("note") and request.note != state.note:
        events.append(pb.RunNoteSet(run=request.run, note=request.note, author=actor))
    if request.HasField("pinned") and request.pinned != state.pinned:
        kind = pb.RunPinned if request.pinned else pb.RunUnpinned
        events.append(kind(run=request.run, requester=actor))
    return events


def bookmark(state: Marks, run: str, user: str, *, wanted: bool) -> Sequence[Message]:
    """Set or remove a user's bookmark; what is so already is no event."""
    if wanted == (user in state.bookmarked):
        return ()
    return [(pb.RunBookmarked if wanted else pb.RunUnbookmarked)(run=run, user=user)]


class SearchAggregate:
    """Folds the stream of one saved search; None when there is none."""

    category = "search"

    def initial(self) -> pb.SavedSearch | None:
        """There is none."""
        return None

    def evolve(self, state: pb.SavedSearch | None, event: Message) -> pb.SavedSearch | None:
        """Fold one event."""
        match event:
            case pb.SearchSaved():
                return event.search
            case pb.SearchDeleted():
                return None
            case _:
                return state


def save(
    state: pb.SavedSearch | None, name: str, search: pb.SavedSearch, actor: str
) -> Sequence[Message]:
    """Save a search under a name.

    Raises:
        AlreadyExists: somebody else has one by that name.
    """
    if state is not None and state.owner != actor:
        raise AlreadyExists(f"{name} is {state.owner}'s: choose another name", resource=name)
    made = pb.SavedSearch()
    made.CopyFrom(search)
    made.name, made.owner = name, actor
    made.shared = state.shared if state is not None else False
    return () if made == state else [pb.SearchSaved(search=made)]


def share(
    state: pb.SavedSearch | None, name: str, actor: str, *, shared: bool
) -> Sequence[Message]:
    """Share a search with its project, or hide it again.

    Raises:
        NotFound: there is none that the caller may see.
        PermissionDenied: it is somebody else's.
    """
    found = visible(state, name, actor)
    if found.owner != actor:
        raise PermissionDenied(f"{name} is {found.owner}'s", resource=name)
    if found.shared == shared:
        return ()
    made = pb.SavedSearch()
    made.CopyFrom(found)
    made.shared = shared
    return [pb.SearchSaved(search=made)]


def delete(
    state: pb.SavedSearch | None, name: str, actor: str, *, administrator: bool
) -> Sequence[Message]:
    """Delete a search: one's own, or as an administrator of the project a shared one.

    Raises:
        NotFound: there is none that the caller may see.
        PermissionDenied: it is somebody else's.
    """
    found = visible(state, name, actor)
    if found.owner != actor and not administrator:
        raise PermissionDenied(
            f"{name} is {found.owner}'s: its owner or an admin of the project may delete it",
            resource=name,
        )
    return [pb.SearchDeleted(name=name, requester=actor)]


def visible(state: pb.SavedSearch | None, name: str, actor: str) -> pb.SavedSearch:
    """Return a search that the caller may see.

    Raises:
        NotFound: there is none, or it is private to somebody else.
    """
    if state is None or not (state.shared or state.owner == actor):
        raise NotFound(f"there is no {name}", resource=name)
    return state
