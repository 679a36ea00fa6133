"""The user's code to the run that waits for it: packed first, sent when the run is made."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService

from epochal.artifacts import ArtifactDoor
from epochal.cli.archives import members, pack
from epochal.cli.documents import Mount
from epochal.cli.output import errors_console, size, transfer_progress
from epochal.client import Client
from epochal.digests import file_sha256
from epochal.errors import EpochalError

ARCHIVE: Final = "upload/code.tar.gz"
HOLD: Final = "upload"


@dataclass(frozen=True, slots=True)
class Upload:
    """An archive that is ready to be sent."""

    archive: Path
    sha256: bytes
    files: int


@contextlib.contextmanager
def packed(mounts: Sequence[Mount]) -> Iterator[Upload | None]:
    """Packs folders into one archive that is there as long as the context; None for nothing.

    Raises:
        InvalidArgument: Something cannot be uploaded; nothing was started yet.
    """
    if not mounts:
        yield None
        return
    chosen = members(mounts)
    with tempfile.TemporaryDirectory(prefix="epochal-upload-") as folder:
        archive = Path(folder) / "code.tar.gz"
        with transfer_progress() as bars:
            bar = bars.add_task("packing", total=sum(member.size_bytes for member in chosen))
            pack(chosen, archive, lambda read: bars.advance(bar, read))
        yield Upload(archive, file_sha256(archive), len(chosen))


def send(client: Client, run: pb.Run, upload: Upload) -> pb.Run:
    """Sends the archive and releases the run; a run whose files do not arrive is stopped.

    Raises:
        EpochalError: The platform refused the files, or stayed away.
        KeyboardInterrupt: The person gave up.
    """
    door = ArtifactDoor(client)
    size_bytes = upload.archive.stat().st_size
    try:
        with transfer_progress() as bars:
            bar = bars.add_task("uploading", total=size_bytes)
            door.put(
                run.name,
                ARCHIVE,
                upload.archive,
                sha256=upload.sha256,
                kind="code",
                progress=lambda sent: bars.advance(bar, sent),
            )
        released = client.call(
            RunService.RELEASE_RUN, pb.ReleaseRunRequest(name=run.name, hold=HOLD)
        )
    except (EpochalError, KeyboardInterrupt):
        _give_up(client, run)
        raise
    finally:
        door.close()
    errors_console().print(
        f"uploaded {upload.files} files ({size(size_bytes)}, sha256:{upload.sha256.hex()[:12]})",
        highlight=False,
    )
    return released


def _give_up(client: Client, run: pb.Run) -> None:
    request = pb.StopRunRequest(name=run.name, reason="its files were not uploaded")
    try:
        client.call(RunService.STOP_RUN, request)
    except EpochalError:
        errors_console().print(
            f"{run.display_name} waits for files that do not come: end it with "
            f"`epochal runs stop {run.uid[:13]}`",
            highlight=False,
        )
    else:
        errors_console().print(
            f"the upload did not end: {run.display_name} was stopped", highlight=False
        )
