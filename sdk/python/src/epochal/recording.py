"""Operations on their way: written to the journal, then done at once if the platform is there.

Online and offline are one path: offline merely leaves everything pending. When the platform goes
away in the middle of a run, operations pend from then on and are caught up, in order, when it is
back: the training waits a few seconds once, not for every call.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal.errors import EpochalError
from epochal.operations import Operator, refusal_in_words
from epochal.spool.folder import RunFolder
from epochal.spool.journal import Journal, Operation

PATIENCE_S: Final = 3.0
_REST_S: Final = 15.0


class Recorder:
    """Records the operations of one run; any number of threads."""

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        operator: Operator | None,
        say: Callable[[str], None],
    ) -> None:
        """Without an operator it is offline."""
        self._folder = folder
        self._journal = journal
        self._operator = operator
        self._say = say
        self._lock = threading.RLock()
        self._try_again_at = 0.0
        self.trouble: EpochalError | None = None

    def record(self, operation: Operation) -> Message | None:
        """Records one operation; the platform's answer, or None while it is pending.

        Raises:
            EpochalError: The platform refused it; it will not be tried again.
        """
        with self._lock:
            number = self._journal.append(operation)
            if self._operator is not None and time.monotonic() >= self._try_again_at:
                return self._catch_up(PATIENCE_S, wanted=number)
            self._keep_files()
            return None

    def defer(self, operation: Operation) -> None:
        """Records one operation for a later `sync`, trying nothing now."""
        with self._lock:
            self._journal.append(operation)

    def catch_up(self, patience_s: float) -> bool:
        """Does what is pending; False when something still is."""
        with self._lock:
            if self._operator is not None:
                self._catch_up(patience_s)
            return not self._journal.pending()

    def stage(self, file: Path, sha256: bytes, *, move: bool) -> None:
        """Makes the bytes of an artifact available to the operation that uploads it.

        Online a link is enough; a file that waits for a later `sync` is copied, because its owner
        may change or delete it.
        """
        staged = self._folder.file(sha256)
        with self._lock:
            if move:
                shutil.move(file, staged)
            elif not staged.exists():
                staged.unlink(missing_ok=True)
                staged.symlink_to(file.resolve())

    def close(self) -> None:
        """Closes files and connections; what is pending stays on disk."""
        with self._lock:
            self._journal.close()
            if self._operator is not None:
                self._operator.close()

    def _catch_up(self, patience_s: float, wanted: int = 0) -> Message | None:
        if self._operator is None:
            return None
        answer: Message | None = None
        for number, operation in self._journal.pending():
            try:
                answer = self._operator.perform(operation, patience_s)
            except EpochalError as error:
                if error.retryable:
                    self._rest(error)
                    return None
                self._journal.mark_done(number)
                if number == wanted:
                    raise
                self._say(refusal_in_words(operation, error))
            else:
                self._journal.mark_done(number)
            self._drop_file(operation)
        self.trouble, self._try_again_at = None, 0.0
        return answer

    def _rest(self, error: EpochalError) -> None:
        if self.trouble is None:
            self._say(
                f"{error.message}; the run goes on and what it logs is kept in {self._folder.path}"
            )
        self.trouble = error
        self._try_again_at = time.monotonic() + _REST_S
        self._keep_files()

    def _keep_files(self) -> None:
        for _, operation in self._journal.pending():
            if isinstance(operation, pb.CommitArtifactRequest):
                staged = self._folder.file(operation.sha256)
                if staged.is_symlink():
                    copy = staged.with_suffix(".copy")
                    shutil.copyfile(staged, copy)
                    copy.replace(staged)

    def _drop_file(self, operation: Operation) -> None:
        if not isinstance(operation, pb.CommitArtifactRequest):
            return
        still_wanted = any(
            isinstance(other, pb.CommitArtifactRequest) and other.sha256 == operation.sha256
            for _, other in self._journal.pending()
        )
        if not still_wanted:
            self._folder.file(operation.sha256).unlink(missing_ok=True)
