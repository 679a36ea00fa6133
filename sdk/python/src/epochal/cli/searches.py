"""`epochal searches`, and `epochal runs note | pin | bookmark | marks`."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import SearchService

from epochal.cli.output import Column, Output, errors_console, print_json, show_list, show_one
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import COLUMNS as RUN_COLUMNS
from epochal.cli.runs import app as runs_app
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, Session, session
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Saved searches: of yourself and of the project.")

_FIELDS = [
    Column[pb.SavedSearch]("NAME", lambda search: last_part(search.name), "bold"),
    Column[pb.SavedSearch]("FILTER", lambda search: search.filter),
    Column[pb.SavedSearch]("ORDER", lambda search: search.order_by),
    Column[pb.SavedSearch]("SEEN BY", lambda search: "project" if search.shared else "you"),
    Column[pb.SavedSearch]("OWNER", lambda search: last_part(search.owner)),
    Column[pb.SavedSearch]("DESCRIPTION", lambda search: search.description),
]
_MARKS = [
    Column[pb.RunMarks]("note", lambda marks: marks.note),
    Column[pb.RunMarks]("note by", lambda marks: last_part(marks.note_author)),
    Column[pb.RunMarks]("pinned", lambda marks: "yes" if marks.pinned else "no"),
    Column[pb.RunMarks]("bookmarked", lambda marks: "yes" if marks.bookmarked else "no"),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the search, such as best.")]


@app.command("ls")
def list_searches(
    project: ProjectOption = "", limit: LimitOption = 50, output: OutputOption = Output.table
) -> None:
    """List the saved searches of a project: yours, and those that are shared.

    For example:

        epochal searches ls -p vision -o json
    """
    with session(project) as opened:
        request = pb.ListSearchesRequest(parent=opened.project)
        found = opened.paged(
            SearchService.LIST_SEARCHES, request, lambda page: page.searches, limit
        )
        nothing = "no saved searches; make one with `epochal searches save NAME -q FILTER`"
        show_list(found, _FIELDS, output, nothing)


@app.command("save")
def save(
    name: NameArgument,
    filter_: Annotated[str, typer.Option("--filter", "--query", "-q", help="The filter.")] = "",
    order_by: Annotated[str, typer.Option(help="Such as 'metrics.acc desc'.")] = "",
    description: Annotated[str, typer.Option(help="Words about it.")] = "",
    share: Annotated[bool, typer.Option("--share", help="Show it to the whole project.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Save a search, or replace one of yours.

    For example:

        epochal searches save best -q 'metrics.acc:>0.9' --order-by 'metrics.acc desc' --share

        epochal searches save mine -q 'bookmarked:true OR pinned:true'
    """
    with session(project) as opened:
        search = pb.SavedSearch(filter=filter_, order_by=order_by, description=description)
        saved = opened.client.call(
            SearchService.SAVE_SEARCH,
            pb.SaveSearchRequest(parent=opened.project, search_id=name, search=search),
        )
        if share and not saved.shared:
            request = pb.ShareSearchRequest(name=saved.name)
            saved = opened.client.call(SearchService.SHARE_SEARCH, request)
    show_one(saved, _FIELDS, output)


@app.command("share")
def share(
    name: NameArgument,
    private: Annotated[bool, typer.Option("--private", help="Hide it again.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show a search of yours to the whole project, or hide it again.

    For example:

        epochal searches share best

        epochal searches share best --private
    """
    with session(project) as opened:
        request = pb.ShareSearchRequest(name=_full(opened, name), private=private)
        saved = opened.client.call(SearchService.SHARE_SEARCH, request)
    show_one(saved, _FIELDS, output)


@app.command("get")
def get_search(
    name: NameArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Show a saved search.

    For example:

        epochal searches get best -o json
    """
    with session(project) as opened:
        request = pb.GetSearchRequest(name=_full(opened, name))
        show_one(opened.client.call(SearchService.GET_SEARCH, request), _FIELDS, output)


@app.command("run")
def run_search(
    name: NameArgument,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the runs that a saved search finds now.

    For example:

        epochal searches run best -n 10
    """
    with session(project) as opened:
        saved = opened.client.call(
            SearchService.GET_SEARCH, pb.GetSearchRequest(name=_full(opened, name))
        )
        request = pb.SearchRunsRequest(
            parents=[opened.project],
            filter=saved.filter,
            grammar=saved.grammar,
            order_by=saved.order_by,
        )
        found = opened.paged(SearchService.SEARCH_RUNS, request, lambda page: page.runs, limit)
        show_list(found, RUN_COLUMNS, output, f"no run fits {saved.filter!r}")


@app.command("rm")
def delete(
    name: NameArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Delete a saved search: one of yours, or as an admin a shared one.

    For example:

        epochal searches rm best
    """
    with session(project) as opened:
        full = _full(opened, name)
        opened.client.call(SearchService.DELETE_SEARCH, pb.DeleteSearchRequest(name=full))
    if output is Output.json:
        print_json({"deleted": full})
        return
    errors_console().print(f"deleted {full}", highlight=False)


@runs_app.command("note")
def note(
    run: RunArgument,
    text: Annotated[str, typer.Argument(help="The note; '' removes it.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Write a note to a run, for everybody in the project; searches find it by note:%word%.

    For example:

        epochal runs note brave-otter 'best so far, but the data was old'

        epochal runs note brave-otter ''
    """
    with session(project) as opened:
        request = pb.AnnotateRunRequest(run=run_name(opened, run), note=text)
        show_one(opened.client.call(SearchService.ANNOTATE_RUN, request), _MARKS, output)


@runs_app.command("pin")
def pin(
    run: RunArgument,
    remove: Annotated[bool, typer.Option("--remove", help="Unpin it.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Pin a run for everybody in the project; searches find it by pinned:true.

    For example:

        epochal runs pin brave-otter

        epochal runs pin brave-otter --remove
    """
    with session(project) as opened:
        request = pb.AnnotateRunRequest(run=run_name(opened, run), pinned=not remove)
        show_one(opened.client.call(SearchService.ANNOTATE_RUN, request), _MARKS, output)


@runs_app.command("bookmark")
def bookmark(
    run: RunArgument,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the bookmark.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Bookmark a run for yourself; searches find it by bookmarked:true.

    For example:

        epochal runs bookmark brave-otter

        epochal runs ls -q bookmarked:true
    """
    with session(project) as opened:
        request = pb.BookmarkRunRequest(run=run_name(opened, run), remove=remove)
        show_one(opened.client.call(SearchService.BOOKMARK_RUN, request), _MARKS, output)


@runs_app.command("marks")
def marks(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Show note, pin and your bookmark of a run.

    For example:

        epochal runs marks brave-otter -o json
    """
    with session(project) as opened:
        request = pb.GetRunMarksRequest(run=run_name(opened, run))
        show_one(opened.client.call(SearchService.GET_RUN_MARKS, request), _MARKS, output)


def _full(opened: Session, name: str) -> str:
    return name if name.startswith("orgs/") else f"{opened.project}/searches/{name}"
