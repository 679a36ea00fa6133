"""Log lines as they come, through broken connections, each printed once."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import epochal_proto.v1 as pb
from epochal_proto.v1.services import TrackingService

from epochal.cli.output import Output
from epochal.client import Client
from epochal.errors import EpochalError
from epochal.retrying import Backoff

Lines = Sequence[pb.LogLine]


def follow(client: Client, run: str, show: Callable[[Lines], None]) -> None:
    """Shows every line until the run has ended; picks up where a broken stream stopped.

    Raises:
        EpochalError: The platform refuses, or stays away for long.
    """
    token = ""
    backoff = Backoff()
    while True:
        request = pb.TailLogLinesRequest(run=run, page_token=token)
        try:
            for page in client.stream(TrackingService.TAIL_LOG_LINES, request):
                show(page.lines)
                token = page.next_page_token or token
                backoff.succeeded()
            return
        except EpochalError as error:
            if not error.retryable or backoff.failures >= 10:
                raise
            time.sleep(backoff.next_delay_s(error))
            client.relocate()


def print_lines(lines: Lines, output: Output) -> None:
    """Prints lines as they were written, or each as one JSON object."""
    for line in lines:
        if output is Output.json:
            stamp = datetime.fromtimestamp(line.time_us / 1e6, UTC).isoformat()
            shown = {"time": stamp, "stream": line.stream, "text": line.text}
            sys.stdout.write(json.dumps(shown, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(line.text + "\n")
    sys.stdout.flush()
