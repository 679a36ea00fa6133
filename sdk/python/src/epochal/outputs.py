"""Declared outputs: told to the agent of a scheduled run through its file, else to the platform.

The agent holds them against the spec when the process has ended, so within a scheduled run nothing
is told before: what breaks a rule must not be seen by those that come next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final

import epochal_proto.v1 as pb

from epochal.recording import Recorder
from epochal.values import to_values

FILE: Final = "EPOCHAL_OUTPUTS_FILE"


def tell_outputs(
    run: str,
    outputs: Mapping[str, object],
    recorder: Recorder,
    *,
    owned: bool,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Tells outputs of a run; of two values for one name the later counts.

    Raises:
        InvalidArgument: A name cannot be.
        EpochalError: The platform refused them.
        OSError: The agent's file cannot be written.
    """
    values = to_values(outputs)
    file = environ.get(FILE, "")
    if owned or not file:
        recorder.record(pb.RecordOutputsRequest(name=run, outputs=values))
        return
    line = json.dumps({name: _plain(value) for name, value in values.items()}) + "\n"
    # One write, so that processes of one run may tell theirs at the same time.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _plain(value: pb.Value) -> object:
    kind = value.WhichOneof("kind") or "string_value"
    found: object = getattr(value, kind)
    return json.loads(value.json_value) if kind == "json_value" else found
