"""What a run keeps besides telemetry: files, models, event files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import epochal_proto.v1 as pb

from epochal.artifacts import media_type
from epochal.digests import file_sha256
from epochal.errors import InvalidArgument, Violation
from epochal.files import named_files
from epochal.logging_datasets import DatasetCalls
from epochal.modelfiles import write_model
from epochal.notices import say
from epochal.results import LoggedModel
from epochal.signing import sign_files
from epochal.spool.folder import RunFolder
from epochal.tensorboard.ingesting import Follower, Ingester, existing_folder


class FileCalls(DatasetCalls):
    """Calls that keep files. All may raise RunClosed."""

    _folder: RunFolder
    _followers: list[Follower]

    @property
    def project(self) -> str:
        """Resource name of the run's project."""
        raise NotImplementedError

    def log_series(
        self,
        name: str,
        values: Iterable[float],
        steps: Iterable[int] | None = None,
        times_us: Iterable[int] | None = None,
    ) -> None:
        """See `Run.log_series`."""
        raise NotImplementedError

    def _check_open(self) -> None:
        raise NotImplementedError

    def log_artifact(self, path: str | Path, name: str | None = None, kind: str = "file") -> str:
        """Uploads a file, or every file of a folder, and returns its path under the run.

        Args:
            path: On this machine.
            name: Path under the run; the file's or folder's own name without.
            kind: Such as "file", "data" or "model".

        Raises:
            InvalidArgument: There is no such file, or the name cannot be.
        """
        self._check_open()
        source = Path(path).expanduser()
        under = name or source.resolve().name
        for file, artifact in named_files(source, under):
            self._upload(file, artifact, kind)
        return under

    def log_model(
        self,
        model: object,
        name: str = "model",
        *,
        register: str | None = None,
        alias: str | None = None,
        description: str = "",
        flavor: str = "",
        schema: Mapping[str, object] | None = None,
        sign_key: str | Path | None = None,
    ) -> LoggedModel:
        """Uploads a model below `model/<name>/` and registers it if asked.

        Args:
            model: A path to a file or folder, or a Python object, saved with joblib or pickle.
            name: Of the model within this run.
            register: Id in the registry to make a new version of, such as "digits".
            alias: Alias to point to the new version, such as "champion".
            description: What is new.
            flavor: What it was made with, such as "sklearn".
            schema: What goes in and out, as MLflow writes it: `inputs`, `outputs`, `params`.
            sign_key: Private key (PEM file) to sign its files with, in the model-signing format.

        Raises:
            InvalidArgument: There is no such file, the object cannot be pickled, or the key
                cannot be used.
        """
        self._check_open()
        for option, given in (("alias", alias), ("sign_key", sign_key)):
            if given and not register:
                message = f"{option} is for a registered version: give register= as well"
                raise InvalidArgument(message, violations=[Violation(option, "needs", message)])
        under = f"model/{name}"
        digests: dict[str, bytes] = {}
        if isinstance(model, str | Path):
            source = Path(model).expanduser()
            target = f"{under}/{source.resolve().name}" if source.is_file() else under
            for file, artifact in named_files(source, target):
                digests[artifact[len(under) + 1 :]] = file_sha256(file) if sign_key else b""
                self._upload(file, artifact, "model")
        else:
            with tempfile.TemporaryDirectory(dir=self._folder.path) as made:
                for file in write_model(model, Path(made)):
                    digests[file.name] = file_sha256(file) if sign_key else b""
                    self._upload(file, f"{under}/{file.name}", "model", move=True)
        if not register:
            return LoggedModel(under)
        answer = self._recorder.record(
            pb.RegisterModelVersionRequest(
                parent=self.project,
                model_id=register,
                run=self.name,
                artifact_path=f"{under}/",
                description=description,
                alias=alias or "",
                flavor=flavor,
                signature_json=json.dumps(schema) if schema else "",
                signature_bundle=sign_files(digests, register, sign_key) if sign_key else "",
            )
        )
        version = answer.name if isinstance(answer, pb.ModelVersion) else ""
        return LoggedModel(under, version)

    def log_tensorboard(self, folder: str | Path) -> int:
        """Logs what TensorBoard's event files below a folder hold; returns how much that was.

        Scalars become metrics with their own steps and times; histograms, images, sounds and texts
        become records. Sub-folders are prefixes of names, as TensorBoard shows them.

        >>> run.log_tensorboard(".")
        0

        Raises:
            InvalidArgument: There is no such folder.
            DataLoss: A file is damaged; what came before is logged.
        """
        self._check_open()
        return Ingester(existing_folder(folder), self.log_series, self.log_record).read()

    def follow_tensorboard(self, folder: str | Path) -> None:
        """Logs what is written to event files below a folder until the run is finished.

        >>> run.follow_tensorboard("not there yet")
        """
        self._check_open()
        follower = Follower(Ingester(folder, self.log_series, self.log_record), say)
        self._followers.append(follower)
        follower.start()

    def _upload(self, file: Path, artifact: str, kind: str, *, move: bool = False) -> None:
        sha256 = file_sha256(file)
        size_bytes = file.stat().st_size
        self._recorder.stage(file, sha256, move=move)
        self._recorder.record(
            pb.CommitArtifactRequest(
                run=self.name,
                path=artifact,
                sha256=sha256,
                size_bytes=size_bytes,
                kind=kind,
                media_type=media_type(artifact),
            )
        )
