"""Projects what people put on runs, and the searches they save."""

from __future__ import annotations

from collections.abc import Iterable

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef

from epochal_tracker.rows import MARKS, SAVED_SEARCHES, MarkRow, SavedSearchRow


class MarkProjector:
    """Projects notes, pins and bookmarks."""

    name = "marks"
    tables = (MARKS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        run = event.stream_id
        match event.payload:
            case pb.RunNoteSet(note=note, author=author):
                if note:
                    rows.put(MARKS, MarkRow(run, "note", "", note, author))
                else:
                    rows.delete(MARKS, run, "note", "")
            case pb.RunPinned(requester=requester):
                rows.put(MARKS, MarkRow(run, "pin", "", "", requester))
            case pb.RunUnpinned():
                rows.delete(MARKS, run, "pin", "")
            case pb.RunBookmarked(user=user):
                rows.put(MARKS, MarkRow(run, "bookmark", user, "", user))
            case pb.RunUnbookmarked(user=user):
                rows.delete(MARKS, run, "bookmark", user)
            case _:
                return


class SavedSearchProjector:
    """Projects saved searches."""

    name = "saved searches"
    tables = (SAVED_SEARCHES,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.SearchSaved):
            search = payload.search
            content = search.SerializeToString(deterministic=True)
            project = search.name.partition("/searches/")[0]
            rows.put(
                SAVED_SEARCHES,
                SavedSearchRow(search.name, project, search.owner, search.shared, content),
            )
        elif isinstance(payload, pb.SearchDeleted):
            rows.delete(SAVED_SEARCHES, payload.name)
