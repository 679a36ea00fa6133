"""`epochal agent`: a command added to the CLI through its entry point group.

What is heavy is imported inside the command: every other command of the CLI loads this module.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("agent")(agent)


def agent(
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Queue to serve; may be repeated.")
    ] = None,
    nats: Annotated[
        str,
        typer.Option("--nats", envvar="EPOCHAL_NATS_URL", help="NATS, nats://TOKEN@HOST:PORT."),
    ] = "",
    url: Annotated[
        str,
        typer.Option("--url", envvar="EPOCHAL_URL", help="Gateway, http://HOST:PORT, for files."),
    ] = "",
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, max=512, help="Runs at once; 2 a processor.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="NAME=VALUE; may be repeated.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder for the files of runs.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where the gateway reaches services of this agent.")
    ] = "127.0.0.1",
    name: Annotated[str, typer.Option("--name", help="Name for people; this machine's.")] = "",
) -> None:
    """Run an agent here: it takes runs from queues and executes them as processes.

    It joins over NATS alone, from any machine. Ctrl-C or SIGTERM drains: no new runs, those that
    run get a few seconds, then they are ended and tried again by another agent.

    For example:

        epochal agent --queue default --nats nats://TOKEN@10.0.0.5:4222 --url http://10.0.0.5:8080

        epochal agent -q gpu -q default --slots 2 --label zone=a --label gpu=a100
    """
    from epochal_scheduler.agent.main import run
    from epochal_scheduler.agent.settings import AgentSettings

    if not nats:
        raise typer.BadParameter("give --nats URL, or set EPOCHAL_NATS_URL", param_hint="--nats")
    wrong = [each for each in label or () if not all(each.partition("=")) or "," in each]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not NAME=VALUE", param_hint="--label")
    given: dict[str, object] = {
        "nats_url": nats,
        "url": url,
        "agent_host": host,
        "data_dir": data_dir or _default_folder(),
    }
    if queue:
        given["agent_queues"] = ",".join(queue)
    if slots:
        given["agent_slots"] = slots
    if label:
        given["agent_labels"] = ",".join(label)
    if name:
        given["agent_name"] = name
    run(AgentSettings(**given))  # type: ignore[arg-type]  # each is what its option says


def _default_folder() -> Path:
    """The folder of this account for what programs keep (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "epochal" / "agent"
