"""A scheduler and a log port in memory, and real launches of this interpreter."""

import asyncio
import json
import os
import sys

import epochal_proto.v1 as pb
import zstandard
from epochal_scheduler.agent.launching import Host
from epochal_scheduler.agent.shipping import producer_of
from spec_samples import compile_text

RUN = "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001"


class FakeScheduler:
    """Takes every report and notes it; refuses those named in `refuses`."""

    def __init__(self, refuses=()):
        self.told = []
        self.refuses = set(refuses)
        self.exited = None

    async def claim(self, attempt):
        self.told.append("claim")
        return "claim" not in self.refuses

    async def report_started(self, attempt, at):
        self.told.append("started")
        return "started" not in self.refuses

    async def report_exited(self, attempt, exited):
        self.told.append("exited")
        self.exited = exited
        return "exited" not in self.refuses


class FakeLogs:
    """Keeps batches; `gate` holds `open` back, `broken` makes publishing wait for ever."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches = []
        self.sealed = None
        self.refusal = None

    async def open(self, run, producer):
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return pb.ProducerCursor(run=run, producer=producer, epoch=1)

    async def publish(self, batch):
        assert batch.producer == producer_of(RUN, 1)
        self.batches.append(batch)

    async def seal(self, run, producer, last_batch):
        self.sealed = last_batch

    def lines(self):
        found = []
        for number, batch in enumerate(self.batches, start=1):
            assert batch.batch == number
            lines = pb.LogLines.FromString(batch.payload)
            assert lines.first_line == len(found)
            block = pb.LogBlock.FromString(zstandard.decompress(lines.block))
            assert lines.lines == len(block.lines)
            found += [(line.stream, line.text) for line in block.lines]
        return found


def work_item(code, timeout_s=0, container=""):
    """A work item that runs Python code."""
    spec = (
        "version: 1.1\nkind: component\nrun:\n  kind: job\n  container:\n"
        f"    command: [python, -c]\n    args: [{json.dumps(code)}]\n{container}"
    )
    return pb.WorkItem(
        run=RUN, attempt=1, fence=1, compiled_json=compile_text(spec).canonical_json,
        timeout_s=timeout_s, run_token="epr_x",
    )  # fmt: skip


def host(folder):
    inherited = {"PATH": os.environ["PATH"], "EPOCHAL_RUN_TOKEN_SECRET": "hidden"}
    return Host(folder, "http://localhost:1", sys.executable, "mark-of-a-test", inherited)
