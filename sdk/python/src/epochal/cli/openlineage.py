"""`epochal lineage facets`: what other systems told of a run, a job or a dataset."""

from __future__ import annotations

import json
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import OpenLineageService
from rich.table import Table
from rich.text import Text

from epochal.cli.output import Output, as_json, console, print_json
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.names import project_of

_SHOWN_CHARS = 200


def facets(
    node: Annotated[
        str, typer.Argument(help="Full name, or jobs/..., datasets/..., runs/... in the project.")
    ],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show what OpenLineage events told of a run, a job or a dataset, the newest of each facet.

    For example:

        epochal lineage facets jobs/dbt%2Forders

        epochal lineage facets datasets/s3%3A%2F%2Flake%2Forders -o json
    """
    with session(project) as opened:
        name = node if node.startswith("orgs/") else f"{opened.project}/{node}"
        request = pb.GetOpenLineageRequest(parent=project_of(name), node=name)
        found = opened.client.call(OpenLineageService.GET_OPEN_LINEAGE, request)
    if output is Output.json:
        print_json(as_json(found))
        return
    head = f"{found.kind} {found.namespace} {found.title} {found.state.lower()}"
    console().print(Text(head.strip()))
    table = Table("FACET", "SAYS", "WHEN", box=None, pad_edge=False)
    for one in found.facets:
        value = {name: part for name, part in json.loads(one.value_json).items() if name[:1] != "_"}
        text = json.dumps(value, ensure_ascii=False)
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
        table.add_row(Text(one.key), Text(shown), one.event_time.ToJsonString())
    console().print(table)
