"""How errors look to a person at the terminal: what happened, where, and what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import epochal_proto.v1 as pb
import typer

from epochal.cli.output import errors_console
from epochal.errors import EpochalError

_PLACED: Final = re.compile(r"(?:file (\d+), )?line (\d+), column (\d+): (.*)", re.DOTALL)


def show(error: EpochalError) -> None:
    """Prints an error with its fields and resource, without a traceback."""
    console = errors_console()
    console.print(f"[bold red]error:[/] {_plain(error.message)}", highlight=False)
    for violation in error.violations:
        console.print(f"  {_plain(str(violation))}", highlight=False)
    if error.resource and error.resource not in error.message:
        console.print(f"  about {_plain(error.resource)}", highlight=False)


def spec_issues(error: EpochalError) -> list[pb.SpecIssue]:
    """The findings about a polyaxonfile that an error carries, with their places."""
    if error.issues:
        return list(error.issues)
    found = []
    for violation in error.violations:
        placed = _PLACED.fullmatch(violation.message)
        file, line, column, message = (
            placed.groups() if placed else ("1", "0", "0", violation.message)
        )
        found.append(
            pb.SpecIssue(
                line=int(line),
                column=int(column),
                field=violation.field,
                rule=violation.rule,
                message=message,
                source=int(file or 1) - 1,
            )
        )
    return found


def show_issues(files: Sequence[str], issues: list[pb.SpecIssue], *, colour: str) -> None:
    """Prints findings as `FILE:LINE:COLUMN: FIELD: what to mend (rule)`, as compilers do.

    `files` are the names of the texts in the order in which they were sent.
    """
    console = errors_console()
    for issue in issues:
        file = files[issue.source if issue.source < len(files) else 0]
        place = f"{file}:{issue.line}:{issue.column}" if issue.line else file
        field = f"{issue.field}: " if issue.field else ""
        text = f"[bold]{_plain(place)}[/]: [{colour}]{_plain(field)}[/]{_plain(issue.message)}"
        console.print(f"{text} [dim]({_plain(issue.rule)})[/]", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns our errors into a message and exit code 1; Ctrl-C into a clean end with 130."""
    try:
        yield
    except EpochalError as error:
        show(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors_console().print("interrupted")
        raise typer.Exit(130) from None


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
