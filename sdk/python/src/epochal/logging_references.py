"""What a run refers to without copying it, and the little things that describe it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import SupportsFloat

import epochal_proto.v1 as pb
from google.protobuf.json_format import MessageToDict

from epochal import surroundings
from epochal.digests import describe
from epochal.logging_media import TakesRecords
from epochal.recording import Recorder
from epochal.records.made import wrong
from epochal.records.texts import encode_json, encode_reference


class ReferenceCalls(TakesRecords):
    """Calls that refer and describe. All may raise what `log_record` may."""

    _recorder: Recorder

    @property
    def name(self) -> str:
        """Resource name of the run."""
        raise NotImplementedError

    def log_metric(self, name: str, value: SupportsFloat, step: int | None = None) -> None:
        """See `Run.log_metric`."""
        raise NotImplementedError

    def log_params(self, params: Mapping[str, object]) -> None:
        """See `Run.log_params`."""
        raise NotImplementedError

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """See `Run.set_tags`."""
        raise NotImplementedError

    def log_file_ref(self, path: str | Path, name: str | None = None) -> None:
        """Refers to a file by path and digest, without copying it.

        >>> run.log_file_ref(__file__, name="script")

        Raises:
            InvalidArgument: There is no such file.
        """
        if not Path(path).expanduser().is_file():
            raise wrong("path", "exists", f"there is no file {path}")
        self.log_record(name or Path(path).name, encode_reference("file", path))

    def log_dir_ref(self, path: str | Path, name: str | None = None) -> None:
        """Refers to a folder by path and digest of all below it, without copying it.

        >>> run.log_dir_ref(".", name="working folder")

        Raises:
            InvalidArgument: There is no such folder.
        """
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise wrong("path", "exists", f"there is no folder {path}")
        digest = describe(folder).digest
        self.log_record(name or folder.resolve().name, encode_reference("dir", path, digest))

    def log_artifact_ref(self, target: str, name: str | None = None, digest: str = "") -> None:
        """Refers to an artifact elsewhere by its URI or path.

        >>> run.log_artifact_ref("s3://bucket/predictions.npz")
        """
        self.log_record(name or _last(target), encode_reference("artifact", target, digest))

    def log_model_ref(self, target: str, name: str | None = None, digest: str = "") -> None:
        """Refers to a model elsewhere by its URI or path, such as the one that is fine-tuned.

        >>> run.log_model_ref("hf://bert-base-uncased")
        """
        self.log_record(name or _last(target), encode_reference("model", target, digest))

    def log_tensorboard_ref(self, folder: str | Path, name: str = "tensorboard") -> None:
        """Refers to a folder of event files without reading it; `log_tensorboard` reads it.

        >>> run.log_tensorboard_ref("logs/train")
        """
        self.log_record(name, encode_reference("tensorboard", folder))

    def log_data_ref(self, name: str, target: str, digest: str = "") -> None:
        """Refers to data that the run reads by its URI: lineage knows it as a dataset.

        >>> run.log_data_ref("digits", "s3://bucket/digits.csv")
        """
        request = pb.UseDatasetRequest(run=self.name, dataset=name, uri=target, digest=digest)
        self._recorder.record(request)

    def log_code_ref(self, folder: str | Path = ".") -> None:
        """Records where the code of a folder stands in git; `capture` does more, by itself.

        >>> run.log_code_ref()
        """
        code = surroundings.code(Path(folder))
        found = {} if code.state is None else MessageToDict(code.state)
        self.log_record("code", encode_json("coderef", {**found, "missing": code.missing}))

    def log_env(self) -> None:
        """Records interpreter, packages, machine and command as a record; see also `capture`.

        >>> run.log_env()
        """
        self.log_record("env", encode_json("env", MessageToDict(surroundings.describe())))

    def log_inputs(self, /, inputs: Mapping[str, object] | None = None, **more: object) -> None:
        """Logs inputs: another name for `log_params`.

        >>> run.log_inputs(depth=3)
        """
        self.log_params({**(inputs or {}), **more})

    def log_meta(self, /, meta: Mapping[str, object] | None = None, **more: object) -> None:
        """Notes facts about the run, as tags "meta.NAME", which searches find.

        >>> run.log_meta(cluster="blue")
        """
        self.set_tags({f"meta.{name}": value for name, value in {**(meta or {}), **more}.items()})

    def log_tags(self, tags: str | Iterable[str]) -> None:
        """Sets tags without values, or several in one text with commas: each becomes "true".

        >>> run.log_tags(["baseline", "nightly"])
        """
        names = tags.split(",") if isinstance(tags, str) else tags
        self.set_tags({name.strip(): "true" for name in names if name.strip()})

    def log_progress(self, progress: float) -> None:
        """Tells how far the run is, 0 to 1, as the metric "progress".

        >>> run.log_progress(0.5)

        Raises:
            InvalidArgument: It is not from 0 to 1.
        """
        if not 0.0 <= progress <= 1.0:
            raise wrong("progress", "range", f"progress is from 0 to 1, not {progress}")
        self.log_metric("progress", progress)

    def set_name(self, name: str) -> None:
        """Changes the name for people.

        >>> run.set_name("first that works")
        """
        self._recorder.record(pb.RenameRunRequest(name=self.name, display_name=name))

    def set_description(self, description: str) -> None:
        """Describes the run, as its note. See `set_readme`.

        >>> run.set_description("with the new loader")
        """
        self.set_readme(description)

    def set_readme(self, readme: str) -> None:
        """Writes the note of the run, in Markdown; an empty one removes it.

        >>> run.set_readme("# What I tried")
        """
        self._recorder.record(pb.AnnotateRunRequest(run=self.name, note=readme))


def _last(target: str) -> str:
    return target.rstrip("/").rpartition("/")[2] or target
