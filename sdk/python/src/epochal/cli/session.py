"""What every command starts with: the platform, the project, and lists page by page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import typer
from epochal_proto.method import UnaryMethod
from google.protobuf.message import Message

from epochal import config, names
from epochal.cli.output import Output
from epochal.client import Client

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Item = TypeVar("Item")

_PAGE: Final = 500

ProjectOption = Annotated[
    str,
    typer.Option("--project", "-p", help="PROJECT, ORG/PROJECT or full name; yours when left out."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table or json.")]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=0, help="At most this many; 0 means all.")
]


@dataclass(frozen=True, slots=True)
class Session:
    """A platform and the project to work in."""

    client: Client
    project: str

    @property
    def org(self) -> str:
        """Name of the project's organisation."""
        return names.org_of(self.project)

    def paged(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        items: Callable[[Response], Iterable[Item]],
        limit: int = 0,
    ) -> Iterator[Item]:
        """Reads a list page by page until its end or `limit` (0: no limit)."""
        page, left = type(request)(), limit
        page.CopyFrom(request)
        while True:
            _set(page, "page_size", min(left, _PAGE) if left else _PAGE)
            response = self.client.call(method, page)
            for item in items(response):
                yield item
                if left == 1:
                    return
                left = max(left - 1, 0)
            token = getattr(response, "next_page_token", None)
            if not token:
                return
            _set(page, "page_token", token)


@contextlib.contextmanager
def session(project: str = "") -> Iterator[Session]:
    """Opens the platform for one command.

    Raises:
        NotConfigured: There is none.
        InvalidArgument: `project` cannot be a project's name.
    """
    connection = config.find()
    full = names.full_project(project, connection.project)
    with Client(connection, refresh=config.find) as client:
        yield Session(client, full)


def _set(message: Message, field: str, value: object) -> None:
    setattr(message, field, value)
