"""Records in the background what a tracked run is made of, so that it can be made again."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb

from epochal import surroundings
from epochal.errors import EpochalError
from epochal.notices import say
from epochal.recording import Recorder
from epochal.spool.folder import RunFolder

DIFF_PATH: Final = "capture/code.diff"
JOIN_S: Final = 15.0


class Capturer:
    """The capture of one run: begun by `start`, waited for by `finish`."""

    def __init__(self, folder: RunFolder, recorder: Recorder) -> None:
        self._folder = folder
        self._recorder = recorder
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins; the training goes on meanwhile."""
        # A daemon: what the machine is made of must never keep a process from ending.
        self._thread = threading.Thread(target=self._run, name="epochal-capture", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits, bounded, until it is recorded."""
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def log_seeds(self, seeds: Mapping[str, object]) -> None:
        """Records seeds, besides those that are known.

        Raises:
            EpochalError: The platform refused them.
        """
        known = {str(name): str(value) for name, value in seeds.items()}
        if known:
            self._record(pb.Capture(attempt=_attempt(self._folder), seeds=known))

    def _run(self) -> None:
        try:
            capture = surroundings.describe()
            self._add_code(capture, surroundings.code(Path.cwd()))
            self._record(capture)
        except (EpochalError, OSError) as error:
            say(f"what the run is made of is not recorded: {error}")

    def _add_code(self, capture: pb.Capture, code: surroundings.Code) -> None:
        capture.missing.extend(code.missing)
        if code.state is None:
            return
        capture.git.CopyFrom(code.state)
        if not code.diff:
            return
        sha256 = hashlib.sha256(code.diff).digest()
        descriptor, name = tempfile.mkstemp(dir=self._folder.path)
        with open(descriptor, "wb") as file:
            file.write(code.diff)
        self._recorder.stage(Path(name), sha256, move=True)
        self._recorder.record(
            pb.CommitArtifactRequest(
                run=self._folder.run,
                path=DIFF_PATH,
                sha256=sha256,
                size_bytes=len(code.diff),
                kind="capture",
                media_type="text/x-diff",
            )
        )
        capture.git.diff_digest = f"sha256:{sha256.hex()}"
        capture.git.diff_path = DIFF_PATH

    def _record(self, capture: pb.Capture) -> None:
        capture.run = self._folder.run
        capture.time.GetCurrentTime()
        self._recorder.record(pb.RecordCaptureRequest(run=self._folder.run, capture=capture))


def _attempt(folder: RunFolder) -> int:
    """The attempt of a scheduled run that this process is part of; 0 for a run of its own."""
    text = "" if folder.owned else os.environ.get("EPOCHAL_ATTEMPT", "")
    return int(text) if text.isdecimal() else 0
