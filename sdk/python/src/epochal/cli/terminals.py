"""`epochal runs exec`, `shell`, `service`: into a running run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService, TerminalService

from epochal.cli.output import Output, errors_console, print_json
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.cli.statuses import ENDED, status_text
from epochal.client import Client
from epochal.errors import EpochalError, FailedPrecondition, InvalidArgument

_CHUNK: Final = 64 * 1024


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    run: RunArgument,
    command: Annotated[list[str], typer.Argument(help="Command line; after -- for its options.")],
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal.")] = False,
    project: ProjectOption = "",
) -> None:
    """Run a command in the folder and environment of a running run; ends with its exit code.

    For example:

        epochal runs exec my-service -- ls -l

        echo 'print(1)' | epochal runs exec my-service -- python -
    """
    _run(run, command, tty, project)


@app.command("shell")
def shell(run: RunArgument, project: ProjectOption = "") -> None:
    """Open a shell in the folder and environment of a running run.

    For example:

        epochal runs shell my-service
    """
    if not sys.stdin.isatty():
        raise InvalidArgument("a shell needs a terminal; from a script use `epochal runs exec`")
    _run(run, [], True, project)


@app.command("service")
def service(
    run: RunArgument,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser, signed in.")] = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.")] = 30.0,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Print the address of a service run, behind the gateway.

    A program sends its token as `authorization: Bearer ...`; --open signs a browser in, once.

    For example:

        epochal runs service my-notebook --open

        curl -H "authorization: Bearer $EPOCHAL_TOKEN" "$(epochal runs service my-api)"
    """
    with session(project) as opened:
        client = opened.client
        found = _ready(client, run_name(opened, run), wait_s)
        url = f"{client.connection.url}{found.service_path}"
        token = client.connection.token
    if output is Output.json:
        print_json({"run": found.name, "url": url})
    else:
        typer.echo(url)
    if open_:
        webbrowser.open(f"{url}?epochal_token={token}" if token else url)


def _ready(client: Client, name: str, wait_s: float) -> pb.Run:
    found = client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    if not found.service_path and found.status not in ENDED and wait_s > 0:
        with contextlib.suppress(EpochalError):  # the time is up: what is known is told below
            request = pb.WatchRunRequest(name=name)
            for seen in client.stream(RunService.WATCH_RUN, request, timeout_s=wait_s):
                found = seen
                if found.service_path:
                    break
    if not found.service_path:
        raise FailedPrecondition(
            f"{found.display_name} is {status_text(found)} and answers nowhere: "
            f"{found.message.strip() or 'only a service that is ready does'}; "
            f"see `epochal runs logs {found.uid[:13]}`",
            resource=name,
        )
    return found


def _run(run: str, command: list[str], tty: bool, project: str) -> None:
    with session(project) as opened:
        client, name = opened.client, run_name(opened, run)
        columns, rows = shutil.get_terminal_size()
        made = client.call(
            TerminalService.OPEN_TERMINAL,
            pb.OpenTerminalRequest(
                run=name, command=command, tty=tty, rows=rows if tty else 0,
                columns=columns if tty else 0,
            ),
        )  # fmt: skip
        with _Keyboard(client, made, raw=tty and sys.stdin.isatty()).attached():
            code = _copy(client, made)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _copy(client: Client, made: pb.Terminal) -> int:
    """Prints what the command writes; returns its exit code.

    Raises:
        EpochalError: The agent went away.
    """
    request = pb.ReadTerminalRequest(run=made.run, terminal=made.terminal)
    code = 0
    for output in client.stream(TerminalService.READ_TERMINAL, request):
        for data, stream in ((output.data, sys.stdout), (output.error, sys.stderr)):
            if data:
                stream.buffer.write(data)
                stream.buffer.flush()
        if output.HasField("exit_code"):
            code = output.exit_code
    return code


class _Keyboard:
    """What a person types, their Ctrl-C, and the size of their terminal, to the command."""

    def __init__(self, client: Client, made: pb.Terminal, *, raw: bool) -> None:
        self._client = client
        self._made = made
        self._raw = raw

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Sends input as long as the context lasts; the terminal is left as it was found."""
        previous = signal.signal(signal.SIGINT, lambda *_: self._aside(number=signal.SIGINT))
        threading.Thread(target=self._send_input, name="epochal-input", daemon=True).start()
        try:
            with self._raw_mode() if self._raw else contextlib.nullcontext():
                yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _send_input(self) -> None:
        fd = sys.stdin.fileno()
        while data := os.read(fd, _CHUNK):
            self._write(data=data)
        self._write(end=True)

    @contextlib.contextmanager
    def _raw_mode(self) -> Iterator[None]:
        import termios
        import tty

        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
        resized = signal.signal(signal.SIGWINCH, lambda *_: self._resize())
        tty.setraw(fd)
        try:
            yield
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
            signal.signal(signal.SIGWINCH, resized)

    def _resize(self) -> None:
        columns, rows = shutil.get_terminal_size()
        self._aside(rows=rows, columns=columns)

    def _aside(self, *, rows: int = 0, columns: int = 0, number: int = 0) -> None:
        """Sends from a thread: a signal's handler may not wait for an answer."""
        sizes = {"rows": rows, "columns": columns, "number": number}
        threading.Thread(target=self._write, kwargs=sizes, daemon=True).start()

    def _write(
        self,
        *,
        data: bytes = b"",
        end: bool = False,
        rows: int = 0,
        columns: int = 0,
        number: int = 0,
    ) -> None:
        request = pb.WriteTerminalRequest(
            run=self._made.run,
            terminal=self._made.terminal,
            data=data,
            end=end,
            rows=rows,
            columns=columns,
            signal=number,
        )
        try:
            self._client.call(TerminalService.WRITE_TERMINAL, request)
        except EpochalError as error:
            if error.code != "NOT_FOUND":  # it has ended: nobody is there to read
                errors_console().print(f"input is lost: {error.message}", highlight=False)
