"""`epochal runs capture`, `diff`, `reproduce`: what a run was made of, and making it again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService, TrackingService
from rich.table import Table
from rich.text import Text

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_one,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.cli.statuses import status_text
from epochal.cli.watching import goes_on, wait
from epochal.client import Client
from epochal.errors import FailedPrecondition, NotFound

_CAPTURED_S: Final = 15.0
_LOOK_S: Final = 0.5
_SAME: Final = ("code", "inputs", "params", "environment", "spec")

_FIELDS = [
    Column[pb.Capture]("run", lambda capture: capture.run),
    Column[pb.Capture]("attempt", lambda capture: str(capture.attempt or "")),
    Column[pb.Capture]("when", lambda capture: when(capture.time)),
    Column[pb.Capture]("command", lambda capture: " ".join(capture.command)),
    Column[pb.Capture]("folder", lambda capture: capture.working_dir),
    Column[pb.Capture]("spec", lambda capture: capture.spec_digest),
    Column[pb.Capture]("git", lambda capture: _git(capture.git)),
    Column[pb.Capture]("upload", lambda capture: capture.upload_digest),
    Column[pb.Capture]("interpreter", lambda capture: capture.interpreter),
    Column[pb.Capture]("packages", lambda capture: _some(capture.packages, "==")),
    Column[pb.Capture]("hardware", lambda capture: _some(capture.hardware, "=")),
    Column[pb.Capture]("seeds", lambda capture: _some(capture.seeds, "=")),
    Column[pb.Capture]("inputs", lambda capture: _some(capture.inputs, " ")),
    Column[pb.Capture]("missing", lambda capture: "\n".join(capture.missing)),
]


@app.command("capture")
def capture(
    run: RunArgument,
    attempt: Annotated[int, typer.Option(min=0, help="Attempt; 0 means the newest.")] = 0,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what a run was made of: code, packages, machine, seeds, inputs, and what is missing.

    For example:

        epochal runs capture brave-otter

        epochal runs capture brave-otter -o json
    """
    with session(project) as opened:
        request = pb.GetCaptureRequest(run=run_name(opened, run), attempt=attempt)
        found = opened.client.call(TrackingService.GET_CAPTURE, request)
    show_one(found, _FIELDS, output)


@app.command("diff")
def diff(
    run: RunArgument,
    other: RunArgument,
    section: Annotated[
        list[str] | None, typer.Option("--section", help="Only these, such as params; again.")
    ] = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Compare two runs: code, inputs, parameters, environment, metrics, spec, outputs.

    For example:

        epochal runs diff brave-otter calm-heron

        epochal runs diff brave-otter calm-heron --section params --section metrics
    """
    with session(project) as opened:
        left, right = run_name(opened, run), run_name(opened, other)
        request = pb.CompareRunsRequest(run=left, other=right)
        found = opened.client.call(TrackingService.COMPARE_RUNS, request)
    if section:
        kept = [each for each in found.differences if each.section in section]
        del found.differences[:]
        found.differences.extend(kept)
    if output is Output.json:
        print_json(as_json(found))
        return
    _show_differences(list(found.differences), left, right)
    equal = ", ".join(f"{count} of {name}" for name, count in sorted(found.equal.items()) if count)
    errors_console().print(f"equal: {equal or 'nothing'}", highlight=False)
    for unknown in found.unknown:
        errors_console().print(f"not known: {unknown}", highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How a run was made again."""

    run: str
    of: str
    status: str = ""
    not_pinned: list[str] = field(default_factory=list)
    differences: list[pb.Difference] = field(default_factory=list)
    results: list[pb.Difference] = field(default_factory=list)
    compared: bool = False


@app.command("reproduce")
def reproduce(
    run: RunArgument,
    wait_: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for its end, and compare the two.")
    ] = True,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Start a run again from what it recorded, compare the two, and say what was not pinned.

    The same operation with the same parameters and uploaded code, never answered from the cache.
    Exit code 0 when it ended as the first did and nothing that was captured differs.

    For example:

        epochal runs reproduce brave-otter

        epochal runs reproduce brave-otter --no-wait -o json
    """
    with session(project) as opened:
        client, name = opened.client, run_name(opened, run)
        old = client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
        not_pinned = _not_pinned(client, name)
        request = pb.RestartRunRequest(
            name=name, display_name=f"{old.display_name} again", cache=pb.CACHE_USE_OFF
        )
        new = client.call(RunService.RESTART_RUN, request)
        if not wait_:
            _show(Reproduction(new.name, name, status_text(new), not_pinned), output)
            return
        errors_console().print(
            f"{new.display_name} {status_text(new)}  {new.name}", highlight=False, soft_wrap=True
        )
        try:
            ended = wait(client, new)
        except KeyboardInterrupt:
            goes_on(new)
            raise typer.Exit(130) from None
        _await_capture(client, new.name)
        compared = client.call(
            TrackingService.COMPARE_RUNS, pb.CompareRunsRequest(run=name, other=new.name)
        )
    made_of = [each for each in compared.differences if each.section in _SAME]
    results = [each for each in compared.differences if each.section not in _SAME]
    done = Reproduction(
        new.name, name, status_text(ended), not_pinned, made_of, results, compared=True
    )
    _show(done, output)
    if made_of or results or ended.status != old.status:
        raise typer.Exit(1)


def _not_pinned(client: Client, run: str) -> list[str]:
    """What of a run is not known well enough to be made again."""
    try:
        found = client.call(TrackingService.GET_CAPTURE, pb.GetCaptureRequest(run=run))
    except (NotFound, FailedPrecondition):
        return ["nothing was captured: code, environment and inputs are what they are now"]
    missing = list(found.missing)
    if found.git.dirty and not found.git.diff_path:
        missing.append("the code had changes that git did not have and that were not kept")
    elif found.git.dirty:
        missing.append(
            f"the code had changes that git did not have: they are in {found.git.diff_path}"
        )
    if not found.seeds:
        missing.append("no seed is known: what is random differs")
    missing.append("packages and machine are those of the agent that takes it")
    return missing


def _await_capture(client: Client, run: str) -> None:
    """Waits, bounded, until the capture of a run has arrived: it may come after its end."""
    until = time.monotonic() + _CAPTURED_S
    while time.monotonic() < until:
        try:
            client.call(TrackingService.GET_CAPTURE, pb.GetCaptureRequest(run=run))
        except NotFound:
            time.sleep(_LOOK_S)
        else:
            return


def _show(done: Reproduction, output: Output) -> None:
    if output is Output.json:
        print_json(
            {
                "run": done.run,
                "of": done.of,
                "status": done.status,
                "notPinned": done.not_pinned,
                "compared": done.compared,
                "differences": [as_json(each) for each in done.differences],
                "results": [as_json(each) for each in done.results],
            }
        )
        return
    screen = console()
    screen.print(f"[bold]{done.run}[/] is {done.status}, made again of {done.of}", highlight=False)
    for each in done.not_pinned:
        screen.print(Text.assemble("  ", ("not pinned", "yellow"), f"  {each}"))
    if not done.compared:
        screen.print(f"compare them with `epochal runs diff {done.of} {done.run}`", highlight=False)
        return
    if done.differences:
        screen.print("made of other things:", highlight=False)
        _show_differences(done.differences, done.of, done.run)
    if done.results:
        screen.print("came to other results:", highlight=False)
        _show_differences(done.results, done.of, done.run)
    if not (done.differences or done.results):
        screen.print("[green]reproduced[/]: nothing that was recorded differs", highlight=False)


def _show_differences(differences: Sequence[pb.Difference], left: str, right: str) -> None:
    if not differences:
        console().print("no differences", highlight=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    titles = ("SECTION", "NAME", left.rpartition("/")[2][:13], right.rpartition("/")[2][:13])
    for title in titles:
        table.add_column(title, overflow="fold")
    for each in differences:
        table.add_row(
            each.section, Text(each.name), Text(each.left or "-"), Text(each.right or "-")
        )
    console().print(table)


def _git(git: pb.GitState) -> str:
    if not git.commit:
        return ""
    dirty = f", with changes {git.diff_digest[:19]}" if git.dirty else ""
    branch = f" ({git.branch})" if git.branch else ""
    return f"{git.url} {git.commit[:12]}{branch}{dirty}".strip()


def _some(values: object, joint: str) -> str:
    found = dict(values).items() if values else ()  # type: ignore[call-overload]  # a protobuf map
    lines = [f"{name}{joint}{value}" for name, value in sorted(found)]
    more = f"\nand {len(lines) - 10} more: -o json shows all" if len(lines) > 10 else ""
    return "\n".join(lines[:10]) + more
