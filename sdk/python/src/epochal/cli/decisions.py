"""`epochal runs`: what people decide on runs that exist; the old run is never overwritten."""

from __future__ import annotations

from typing import Annotated, TypeVar

import epochal_proto.v1 as pb
import typer
from epochal_proto.method import UnaryMethod
from epochal_proto.v1.services import RunService
from google.protobuf.message import Message

from epochal.cli.output import Output, as_json, console, print_json
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app
from epochal.cli.session import OutputOption, ProjectOption, Session, session
from epochal.cli.specs import ParamsOption, parsed
from epochal.cli.statuses import status_text
from epochal.cli.watching import watch
from epochal.errors import InvalidArgument

Request = TypeVar("Request", bound=Message)

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept with the run.")]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Follow the new run.")]
CacheOption = Annotated[
    bool | None, typer.Option("--cache/--no-cache", help="Reuse equal runs; not if left out.")
]


@app.command("restart")
def restart(
    run: RunArgument,
    params: ParamsOption = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Begin with a copy of the old run's outputs.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name for people; the old one's if left out.")] = "",
    cache: CacheOption = None,
    watch_: WatchOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Start a run again as a new one, from what the old one pinned.

    For example:

        epochal runs restart brave-otter

        epochal runs restart brave-otter -P lr=0.01 --copy --watch
    """
    with session(project) as opened:
        request = pb.RestartRunRequest(
            name=run_name(opened, run),
            params=parsed(params),
            copy=copy,
            display_name=name,
            cache=_cache(cache),
        )
        _show_new(opened, opened.client.call(RunService.RESTART_RUN, request), output, watch_)


@app.command("fork")
def fork(
    run: RunArgument,
    steps: Annotated[
        list[str], typer.Option("--from", help="A step to run anew, with all after it; again.")
    ],
    params: ParamsOption = None,
    name: Annotated[str, typer.Option(help="Name for people; the old one's if left out.")] = "",
    cache: CacheOption = None,
    watch_: WatchOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Start a DAG again from some of its steps on; the steps before are reused.

    For example:

        epochal runs fork nightly-churn --from fit

        epochal runs fork nightly-churn --from fit --from report -P rows=100 --watch
    """
    with session(project) as opened:
        request = pb.RestartRunRequest(
            name=run_name(opened, run),
            params=parsed(params),
            steps=steps,
            display_name=name,
            cache=_cache(cache),
        )
        _show_new(opened, opened.client.call(RunService.RESTART_RUN, request), output, watch_)


@app.command("resume")
def resume(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Go on with a run that failed or was stopped: a new attempt of the same run.

    In a pipeline, all that did not succeed runs again.

    For example:

        epochal runs resume nightly-churn --reason "the disk was full"
    """
    _decide(RunService.RESUME_RUN, pb.ResumeRunRequest(reason=reason), run, project, output)


@app.command("approve")
def approve(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Approve a run that waits for it; it starts when enough have.

    For example:

        epochal runs approve promote-42 --reason "checked the figures"
    """
    _decide(RunService.APPROVE_RUN, pb.ApproveRunRequest(reason=reason), run, project, output)


@app.command("deny")
def deny(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Deny a run that waits for an approval: it is stopped.

    For example:

        epochal runs deny promote-42 --reason "wrong data"
    """
    request = pb.ApproveRunRequest(deny=True, reason=reason)
    _decide(RunService.APPROVE_RUN, request, run, project, output)


@app.command("skip")
def skip(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Skip a run that has not started.

    For example:

        epochal runs skip brave-otter --reason "not today"
    """
    _decide(RunService.SKIP_RUN, pb.SkipRunRequest(reason=reason), run, project, output)


@app.command("pause")
def pause(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Let a pipeline start nothing new; what runs goes on.

    For example:

        epochal runs pause big-sweep
    """
    _decide(RunService.PAUSE_RUN, pb.PauseRunRequest(reason=reason), run, project, output)


@app.command("unpause")
def unpause(
    run: RunArgument,
    reason: ReasonOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Let a paused pipeline go on.

    For example:

        epochal runs unpause big-sweep
    """
    _decide(RunService.UNPAUSE_RUN, pb.UnpauseRunRequest(reason=reason), run, project, output)


@app.command("extend")
def extend(
    run: RunArgument,
    add: Annotated[int, typer.Option("--add", min=1, help="Trials to add.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Add trials to a sweep; one that has ended goes on with what it learnt.

    For example:

        epochal runs extend big-sweep --add 50
    """
    request = pb.UpdatePipelineRequest(add_runs=add)
    _decide(RunService.UPDATE_PIPELINE, request, run, project, output)


@app.command("concurrency")
def concurrency(
    run: RunArgument,
    children: Annotated[int, typer.Argument(min=1, help="Children at once, from now on.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Change how many children of a pipeline run at once.

    For example:

        epochal runs concurrency big-sweep 8
    """
    request = pb.UpdatePipelineRequest(concurrency=children)
    _decide(RunService.UPDATE_PIPELINE, request, run, project, output)


def change(
    opened: Session, method: UnaryMethod[Request, pb.Run], request: Request, run: str
) -> pb.Run:
    """Makes one decision on the run that `run` means."""
    setattr(request, "name", run_name(opened, run))  # noqa: B010 - not a field of every Message
    return opened.client.call(method, request)


def _decide(
    method: UnaryMethod[Request, pb.Run], request: Request, run: str, project: str, output: Output
) -> None:
    with session(project) as opened:
        changed = change(opened, method, request, run)
    show_state(changed, output)


def show_state(run: pb.Run, output: Output) -> None:
    """Prints where a run stands now."""
    if output is Output.json:
        print_json(as_json(run))
        return
    waits = f", waits for {' and '.join(run.holds)}" if run.holds else ""
    paused = ", paused" if run.paused else ""
    console().print(f"{run.display_name} is {status_text(run)}{waits}{paused}", highlight=False)


def _show_new(opened: Session, made: pb.Run, output: Output, watched: bool) -> None:
    if output is Output.json:
        if watched:
            raise InvalidArgument("give one of --watch and -o json")
        print_json(as_json(made))
        return
    console().print(
        f"[bold]{made.display_name}[/] {status_text(made)}  {made.name}\n"
        f"{made.origin_kind} of {made.origin}",
        highlight=False,
    )
    if watched:
        raise typer.Exit(watch(opened.client, made))


def _cache(cache: bool | None) -> pb.CacheUse:
    if cache is None:
        return pb.CACHE_USE_UNSPECIFIED
    return pb.CACHE_USE_ON if cache else pb.CACHE_USE_OFF
