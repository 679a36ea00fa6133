"""The command line as a person has it: in a folder, against one platform."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import epochal_proto.v1 as pb
from epochal.cli import main
from epochal.cli.statuses import status_text
from epochal_proto.v1.services import RunService
from epochal_testing.waiting import until
from platform_world import Platform
from typer.testing import CliRunner

TIMEOUT_S = 120


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CommandLine:
    """Runs commands."""

    platform: Platform
    folder: Path

    def __call__(self, *args: str, code: int | None = 0) -> Result:
        """Runs one command here and holds it to its exit code, unless that is None."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main.build(), args, env=self.settings())
        assert code is None or done.exit_code == code, (args, done.output, done.exception)
        return Result(done.exit_code, done.stdout, done.stderr)

    def process(self, *args: str, given: str = "") -> Result:
        """Runs one command as a process of its own, with `given` to read."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
        done = subprocess.run(
            [sys.executable, "-m", "epochal.cli.main", *args],
            cwd=self.folder,
            env=kept | self.settings(),
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str, code: int | None = 0) -> Any:
        """Runs one command with `-o json` and returns what it printed."""
        return json.loads(self(*args, "-o", "json", code=code).stdout)

    async def ended(self, run: str, timeout_s: float = 120) -> str:
        """Waits until the run of this full name has ended; returns its status."""

        request = pb.GetRunRequest(name=run)
        with self.platform.client() as client:

            def now() -> pb.Run:
                found = client.call(RunService.GET_RUN, request)
                assert found.end_time.seconds, f"{run} is {status_text(found)}"
                return found

            return status_text(await until(now, timeout_s))

    def settings(self) -> dict[str, str]:
        """The variables of a person whose settings name this platform."""
        return {
            "EPOCHAL_URL": self.platform.url,
            "EPOCHAL_TOKEN": self.platform.token,
            "EPOCHAL_CONFIG": str(self.folder / "no-config.json"),
        }
