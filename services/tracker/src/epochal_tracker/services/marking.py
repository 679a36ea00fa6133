"""SearchService: notes, pins and bookmarks of runs; saved searches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import DEFAULT_PAGE, pack, unpack
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_tracker.domain import marking
from epochal_tracker.services.finding import Wanted, filter_of, order_of, scope_of
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.store.marks import MarkStore

#: A search's stream follows from its name, so that a name is taken once.
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:epochal:search")
_ADMINISTRATORS: Final = ("admin", "owner")


class Marking:
    """Handlers of SearchService about what people put on runs and save."""

    def __init__(
        self, ledger: Ledger, lookup: RunLookup, marks: MarkStore, progress: Progress, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._marks = marks
        self._progress = progress
        self._clock = clock
        self._run_marks = marking.MarksAggregate()
        self._searches = marking.SearchAggregate()

    async def annotate_run(
        self, request: pb.AnnotateRunRequest, context: CallContext
    ) -> pb.RunMarks:
        """Write a note, pin or unpin."""
        return await self._mark(
            request, context, lambda state: marking.annotate(state, request, context.actor)
        )

    async def bookmark_run(
        self, request: pb.BookmarkRunRequest, context: CallContext
    ) -> pb.RunMarks:
        """Bookmark a run for the caller, or remove the bookmark."""
        return await self._mark(
            request,
            context,
            lambda state: marking.bookmark(
                state, request.run, context.actor, wanted=not request.remove
            ),
        )

    async def get_run_marks(
        self, request: pb.GetRunMarksRequest, context: CallContext
    ) -> pb.RunMarks:
        """Read note, pin and the caller's bookmark."""
        row = await self._lookup.run(request.run, context)
        answer = pb.RunMarks(run=request.run)
        for mark in await self._marks.marks(row.run_id, context.actor):
            match mark.kind:
                case "note":
                    answer.note, answer.note_author = mark.text, mark.author
                case "pin":
                    answer.pinned = True
                case _:
                    answer.bookmarked = True
        return answer

    async def save_search(
        self, request: pb.SaveSearchRequest, context: CallContext
    ) -> pb.SavedSearch:
        """Save a search that can be read."""
        name = f"{request.parent}/searches/{request.search_id}"
        search = request.search
        filter_of(
            Wanted(scope_of([request.parent]), search.filter, search.grammar), self._clock.now()
        )
        order_of(search.grammar, search.order_by)
        return await self._search(
            name,
            request,
            context,
            lambda state: marking.save(state, name, search, context.actor),
        )

    async def share_search(
        self, request: pb.ShareSearchRequest, context: CallContext
    ) -> pb.SavedSearch:
        """Share a search with its project, or hide it again."""
        return await self._search(
            request.name,
            request,
            context,
            lambda state: marking.share(
                state, request.name, context.actor, shared=not request.private
            ),
        )

    async def get_search(
        self, request: pb.GetSearchRequest, context: CallContext
    ) -> pb.SavedSearch:
        """Read a saved search."""
        await self._progress.wait_for(context.min_position)
        content = await self._marks.search(request.name, context.actor)
        if content is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        return pb.SavedSearch.FromString(content)

    async def list_searches(
        self, request: pb.ListSearchesRequest, context: CallContext
    ) -> pb.ListSearchesResponse:
        """List the saved searches that the caller may see, by name."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or DEFAULT_PAGE
        found = await self._marks.searches(
            request.parent, context.actor, unpack(request.page_token), size + 1
        )
        return pb.ListSearchesResponse(
            searches=[pb.SavedSearch.FromString(content) for _, content in found[:size]],
            next_page_token=pack(found[size - 1][0]) if len(found) > size else "",
        )

    async def delete_search(
        self, request: pb.DeleteSearchRequest, context: CallContext
    ) -> pb.DeleteSearchResponse:
        """Delete a saved search."""
        outcome = await self._ledger.execute(
            self._searches,
            uuid5(_NAMESPACE, request.name),
            request.name,
            lambda state: marking.delete(
                state, request.name, context.actor, administrator=context.role in _ADMINISTRATORS
            ),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.DeleteSearchResponse()

    async def _mark(
        self,
        request: pb.AnnotateRunRequest | pb.BookmarkRunRequest,
        context: CallContext,
        decide: Callable[[marking.Marks], Sequence[Message]],
    ) -> pb.RunMarks:
        row = await self._lookup.existing(request.run, context)
        outcome = await self._ledger.execute(
            self._run_marks,
            row.run_id,
            request.run,
            decide,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        state = outcome.state
        return pb.RunMarks(
            run=request.run,
            note=state.note,
            note_author=state.note_author if state.note else "",
            pinned=state.pinned,
            bookmarked=context.actor in state.bookmarked,
        )

    async def _search(
        self,
        name: str,
        request: pb.SaveSearchRequest | pb.ShareSearchRequest,
        context: CallContext,
        decide: Callable[[pb.SavedSearch | None], Sequence[Message]],
    ) -> pb.SavedSearch:
        outcome = await self._ledger.execute(
            self._searches,
            uuid5(_NAMESPACE, name),
            name,
            decide,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        assert outcome.state is not None, "it was just saved"
        return outcome.state
