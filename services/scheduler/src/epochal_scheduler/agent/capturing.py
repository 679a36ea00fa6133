"""Records what a scheduled run is made of, beside its process and never before it.

What is the same for every run of an interpreter or a machine is found once and kept: a run then
costs one call to the platform, and a few more of git only if its code is in a repository.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError

from epochal_scheduler.agent.commands import run_command
from epochal_scheduler.agent.initializing.steps import Prepared
from epochal_scheduler.agent.interpreters import Interpreters
from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.output import readable
from epochal_scheduler.agent.ports import ArtifactPort, CapturePort

GIT_S = 10.0
MAX_DIFF_BYTES = 20 * 1024 * 1024
DIFF_PATH = "capture/code.diff"

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Capturer:
    """Records captures of attempts."""

    port: CapturePort
    store: ArtifactPort
    clock: Clock
    interpreters: Interpreters = field(default_factory=Interpreters)

    async def capture(self, item: pb.WorkItem, launch: Launch, prepared: Prepared) -> None:
        """Records what an attempt is made of; trouble costs the capture, never the run."""
        try:
            capture = await self._describe(item, launch, prepared)
            await self.port.record_capture(capture)
        # ValueError: an argument or variable that is no text.
        except (EpochalError, OSError, ValueError) as error:
            _log.info("agent.not_captured", run=item.run, error=str(error))

    async def _describe(self, item: pb.WorkItem, launch: Launch, prepared: Prepared) -> pb.Capture:
        # What looks at the run outlives its process: it must not be ended with what that started.
        env = {name: value for name, value in launch.env.items() if name != "EPOCHAL_ATTEMPT"}
        launch = replace(launch, env=env)
        known = await self.interpreters.find(launch)
        capture = pb.Capture(
            run=item.run,
            attempt=item.attempt,
            command=[readable(word) for word in launch.argv],
            working_dir=readable(str(launch.folder)),
            spec_digest="sha256:" + hashlib.sha256(item.compiled_json.encode()).hexdigest(),
            upload_digest=prepared.upload_digest,
            interpreter=known.interpreter,
            packages=known.packages,
            hardware=hardware(os.environ),
            seeds=seeds(launch),
            inputs=prepared.inputs,
            missing=known.missing,
        )
        capture.time.FromDatetime(self.clock.now())
        if _has_repository(launch):
            await self._add_git(capture, launch)
        elif not prepared.upload_digest:
            capture.missing.append("the code is in no git repository and was not uploaded")
        return capture

    async def _add_git(self, capture: pb.Capture, launch: Launch) -> None:
        commit = await _git(launch, "rev-parse", "HEAD")
        if not commit:
            capture.missing.append("git does not know the state of the code")
            return
        branch = await _git(launch, "rev-parse", "--abbrev-ref", "HEAD")
        capture.git.commit = commit
        capture.git.branch = "" if branch == "HEAD" else branch
        url = await _git(launch, "config", "--get", "remote.origin.url")
        capture.git.url = _CREDENTIALS.sub("", url)
        capture.git.dirty = bool(
            await _git(launch, "status", "--porcelain", "--untracked-files=no")
        )
        if capture.git.dirty:
            await self._add_diff(capture, launch)

    async def _add_diff(self, capture: pb.Capture, launch: Launch) -> None:
        file = launch.home / f".capture-{capture.attempt}.diff"
        try:
            await _git(launch, "diff", "--binary", "--no-ext-diff", f"--output={file}", "HEAD")
            data = await asyncio.to_thread(file.read_bytes)
            if len(data) > MAX_DIFF_BYTES:
                capture.missing.append(f"the difference has {len(data)} bytes: it is not kept")
                return
            token = launch.env["EPOCHAL_TOKEN"]
            await self.store.put(token, capture.run, DIFF_PATH, file, "capture")
        finally:
            file.unlink(missing_ok=True)
        capture.git.diff_digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        capture.git.diff_path = DIFF_PATH


def hardware(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the machine; its name hashed when EPOCHAL_HASH_HOSTNAME is set."""
    host = platform.node()
    if environ.get("EPOCHAL_HASH_HOSTNAME", "") not in ("", "0"):
        host = hashlib.sha256(host.encode()).hexdigest()[:16]
    found = {
        "hostname": host,
        "platform": platform.platform(),
        "cpu_count": str(os.cpu_count() or 0),
    }
    if hasattr(os, "sysconf"):
        found["memory_bytes"] = str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return found


def seeds(launch: Launch) -> dict[str, str]:
    """Returns seeds that parameters or the environment of the process name."""
    found = {
        f"param:{io.name}": str(io.value)
        for io in launch.plan.inputs
        if io.name.lower().endswith("seed") and io.value is not None
    }
    return found | {
        readable(name): readable(value)
        for name, value in launch.env.items()
        if value and (name == "PYTHONHASHSEED" or name.lower().endswith("seed"))
    }


def _has_repository(launch: Launch) -> bool:
    """Whether the process begins in a repository: looked for upwards, as git does.

    Not above the run's own folder: what lies there is the agent's, not the run's.
    """
    for folder in (launch.folder, *launch.folder.parents):
        if (folder / ".git").exists():
            return True
        if folder == launch.home:
            break
    return False


async def _git(launch: Launch, *arguments: str) -> str:
    """Returns what git says, or nothing when it says no."""
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = await run_command(launch, ["git", *arguments], launch.folder, quiet, GIT_S)
    except OSError:
        return ""
    return "\n".join(done.said).strip() if done.code == 0 else ""
