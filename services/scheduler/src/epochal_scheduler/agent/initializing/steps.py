"""All steps before a process starts, in the order of the spec, each told in the run's log."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError

from epochal_scheduler.agent.initializing.archives import UnsafeArchive, unpack
from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.initializing.fetching import Fetcher, Source, pair
from epochal_scheduler.agent.initializing.git import Repository, check_out, folder_of
from epochal_scheduler.agent.launching import Launch, expand
from epochal_scheduler.agent.ports import ArtifactPort
from epochal_scheduler.spec.schema.initializing import FileInit, GitInit, Init

UPLOAD = "upload/"
ARCHIVE = "upload/code.tar.gz"
LIMIT_S = 1800.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Prepared:
    """What the steps came to.

    Attributes:
        folder: where the process runs, unless its spec says otherwise; None for the run's folder.
        upload_digest: `sha256:HEX` of the archive of the user's code; empty for none.
        inputs: digests of artifacts that were brought, by `RUN_UUID/PATH`.
    """

    folder: Path | None = None
    upload_digest: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


def has_steps(item: pb.WorkItem, launch: Launch) -> bool:
    """Whether there is anything to do: most runs have nothing, and then nothing is waited for."""
    copies = item.origin and item.origin_kind == "copy"
    return bool(item.upload or copies or launch.steps)


@dataclass(frozen=True, slots=True)
class Initializer:
    """Does the steps of one attempt."""

    item: pb.WorkItem
    launch: Launch
    store: ArtifactPort
    say: Say

    async def run(self) -> Prepared:
        """Does all steps.

        Raises:
            InitFailed: names the step that failed.
        """
        done = Prepared()
        try:
            async with asyncio.timeout(LIMIT_S):
                if self.item.upload:
                    await self._step("upload", lambda: self._upload(done))
                if self.item.origin and self.item.origin_kind == "copy":
                    await self._step("copy of the origin's outputs", lambda: self._origin(done))
                for number, step in enumerate(self.launch.steps, start=1):
                    await self._step(f"init step {number}", partial(self._init, step, done))
        except TimeoutError:
            raise InitFailed(f"the steps before the process took more than {LIMIT_S:g} s") from None
        return done

    async def _step(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does one step; what goes wrong bears its name."""
        try:
            await work()
        except InitFailed as error:
            message = f"{name} failed: {error.message}"
            raise InitFailed(message, infrastructure=error.infrastructure) from error
        except EpochalError as error:
            message = f"{name} failed: {error.message}"
            raise InitFailed(message, infrastructure=error.retryable) from error
        except (UnsafeArchive, tarfile.TarError, EOFError) as error:
            raise InitFailed(f"{name} failed: {error}") from error
        except OSError as error:
            raise InitFailed(f"{name} failed: {error}", infrastructure=True) from error

    async def _upload(self, done: Prepared) -> None:
        """Brings what was uploaded below `upload/`; the archive of the code is unpacked."""
        home = self.launch.home
        cancelled = threading.Event()
        packed = home / ".upload"
        for name, digest in (
            await self._fetcher.fetch(Source(self.item.upload, UPLOAD), packed)
        ).items():
            done.inputs[name] = digest
            if name.endswith("/" + ARCHIVE):
                done.upload_digest = digest
        archive = packed / ARCHIVE.removeprefix(UPLOAD)
        count = 0
        if archive.exists():
            try:
                count = await asyncio.to_thread(unpack, archive, home, cancelled)
            finally:
                cancelled.set()
            archive.unlink()
        count += await asyncio.to_thread(_move_up, packed, home)
        await asyncio.to_thread(shutil.rmtree, packed, ignore_errors=True)
        done.folder = home
        self.say(f"uploaded code is in place: {count} entries")

    async def _origin(self, done: Prepared) -> None:
        try:
            source = Source(self.item.origin, "outputs")
            brought = await self._fetcher.fetch(source, self.launch.outputs)
        except InitFailed:
            self.say(f"{self.item.origin} has no outputs to copy")
            return
        done.inputs |= brought
        self.say(f"outputs of {self.item.origin} are copied: {len(brought)} files")

    async def _init(self, step: Init, done: Prepared) -> None:
        home, fetcher = self.launch.home, self._fetcher
        base = fetcher.inside(Path(self._text(step.path))) if step.path else None
        if step.git is not None and step.git.url:
            await self._git(step.git, base, done)
        elif step.file is not None:
            self._file(step.file, base or home)
        elif step.artifacts is not None:
            wanted = [*(step.artifacts.files or ()), *(step.artifacts.dirs or ())]
            await self._paths(wanted, base, done)
        elif step.paths is not None:
            await self._paths(list(step.paths), base, done)
        elif step.artifact_ref or step.lineage_ref:
            await self._paths([step.artifact_ref or step.lineage_ref], base, done)
        elif step.model_ref:
            await self._model(self._text(step.model_ref), base, done)
        else:
            self._unable(step)
        if step.connection is not None:
            self.say(f"connection {step.connection!r} is not used: a local agent has none")

    async def _git(self, git: GitInit, base: Path | None, done: Prepared) -> None:
        url = self._text(git.url or "")
        target = base or self.launch.home / folder_of(url)
        flags = tuple(self._text(str(flag)) for flag in git.flags or ())
        revision = self._text(str(git.revision or ""))
        await check_out(self.launch, Repository(url, revision, flags, target))
        done.folder = done.folder or target
        self.say(f"git: checked out {revision or 'the default branch'} in {target.name}")

    def _file(self, file: FileInit, base: Path) -> None:
        name = self._text(file.filename or "file")
        target = self._fetcher.inside(base / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The content is data: `$(NAME)` in it is the business of whoever reads the file.
        target.write_text(file.content, encoding="utf-8")
        if file.chmod:
            target.chmod(_mode(str(file.chmod)))
        self.say(f"file: wrote {target.relative_to(self.launch.home)}")

    async def _paths(self, wanted: list[object], base: Path | None, done: Prepared) -> None:
        for item in wanted:
            origin, to = pair(item)
            source = self._fetcher.source(self._text(origin))
            default = f"artifacts/{source.run.rpartition('/')[2]}/{source.path}".rstrip("/")
            folder = base or self.launch.home
            name = self._text(to) or (source.path.rpartition("/")[2] if base else default)
            brought = await self._fetcher.fetch(source, self._fetcher.inside(folder / name))
            done.inputs |= brought
            self.say(f"artifacts: brought {len(brought)} files from {origin}")

    async def _model(self, text: str, base: Path | None, done: Prepared) -> None:
        model, _, version = text.rpartition("/")[2].partition(":")
        project = self.item.run.partition("/runs/")[0]
        token = self.item.run_token
        found = await self.store.model_version(
            token, f"{project}/models/{model}", version or "latest"
        )
        target = base or self.launch.home / "models" / model
        done.inputs |= await self._fetcher.fetch(Source(found.run, found.path), target)
        self.say(f"model: brought {text} of {found.run.rpartition('/')[2]}")
        try:
            await self.store.use_model(token, self.item.run, found.version)
        except EpochalError as error:  # its files are here: the run can do without the record
            self.say(f"model: lineage does not know that this run reads it: {error.message}")

    def _unable(self, step: Init) -> None:
        for name in ("dockerfile", "tensorboard", "container"):
            if getattr(step, name) is not None:
                self.say(f"init {name!r} is left out: a local agent builds and runs no images")
        if step.git is not None:
            self.say("init 'git' without a url is left out: a local agent has no connections")

    @property
    def _fetcher(self) -> Fetcher:
        project = self.item.run.partition("/runs/")[0]
        return Fetcher(self.store, self.item.run_token, project, self.launch.home)

    def _text(self, text: str) -> str:
        return expand(text, self.launch.env)


def _mode(text: str) -> int:
    """Reads `755` or `+x`.

    Raises:
        InitFailed: it is neither octal nor `+x`.
    """
    if text in ("+x", "a+x", "u+x"):
        return 0o755
    try:
        return int(text, 8) & 0o777
    except ValueError:
        raise InitFailed(f"chmod {text!r} is not a mode such as 755 or +x") from None


def _move_up(packed: Path, home: Path) -> int:
    """Moves files uploaded one by one into the run's folder; returns how many."""
    count = 0
    for file in sorted(packed.rglob("*")):
        if file.is_file():
            target = home / file.relative_to(packed)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            count += 1
    return count
