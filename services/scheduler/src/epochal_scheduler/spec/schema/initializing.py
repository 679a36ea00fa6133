"""What is in place before a container starts: repositories, files, artifacts (V1Init)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import (
    TEMPLATED_MANY,
    SpecModel,
    TemplatedBool,
    TemplatedInt,
    Text,
)
from epochal_scheduler.spec.schema.running import Container

Paths = Annotated[list[JsonValue], TEMPLATED_MANY]


class GitInit(SpecModel):
    """A git repository to clone, at a branch, tag or commit (V1GitType)."""

    url: str | None = None
    revision: Text | None = None
    flags: Annotated[list[Text], TEMPLATED_MANY] | None = None


class FileInit(SpecModel):
    """A file whose content stands in the spec (V1FileType)."""

    content: str
    filename: str | None = None
    kind: str | None = None
    chmod: Text | None = None


class ArtifactsInit(SpecModel):
    """Files and folders of the artifacts store; a pair is `[from, to]` (V1ArtifactsType)."""

    files: Paths | None = None
    dirs: Paths | None = None
    workers: TemplatedInt | None = None


class DockerfileInit(SpecModel):
    """A Dockerfile to write (V1DockerfileType)."""

    image: str
    env: JsonValue = None
    path: Annotated[list[Text], TEMPLATED_MANY] | None = None
    # `copy` is a method of pydantic's models, hence the other name here.
    copied: Annotated[JsonValue, Field(alias="copy")] = None
    post_run_copy: JsonValue = None
    run: Annotated[list[Text], TEMPLATED_MANY] | None = None
    lang_env: str | None = None
    uid: TemplatedInt | None = None
    gid: TemplatedInt | None = None
    username: str | None = None
    filename: str | None = None
    workdir: str | None = None
    workdir_path: str | None = None
    shell: str | None = None


class TensorboardInit(SpecModel):
    """Logs of other runs, laid out for TensorBoard (V1TensorboardType)."""

    port: TemplatedInt | None = None
    uuids: Annotated[list[str], TEMPLATED_MANY] | None = None
    use_names: TemplatedBool | None = None
    path_prefix: str | None = None
    plugins: Annotated[list[str], TEMPLATED_MANY] | None = None


_CONTENTS = (
    "artifacts", "paths", "git", "dockerfile", "file", "tensorboard", "lineage_ref", "model_ref",
    "artifact_ref",
)  # fmt: skip


class Init(SpecModel):
    """One thing to have in place before the container starts (V1Init)."""

    artifacts: Annotated[ArtifactsInit, TEMPLATED_MANY] | None = None
    paths: Paths | None = None
    git: Annotated[GitInit, TEMPLATED_MANY] | None = None
    dockerfile: Annotated[DockerfileInit, TEMPLATED_MANY] | None = None
    file: Annotated[FileInit, TEMPLATED_MANY] | None = None
    tensorboard: Annotated[TensorboardInit, TEMPLATED_MANY] | None = None
    lineage_ref: str | None = None
    model_ref: str | None = None
    artifact_ref: str | None = None
    connection: str | None = None
    path: str | None = None
    container: Container | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Any:  # Any: pydantic returns the model itself
        """Refuses two contents in one entry, and a git entry that says not from where."""
        used = [name for name in _CONTENTS if getattr(self, name) is not None]
        if len(used) > 1:
            message = "an init entry has one content; it has {fields}: make it several entries"
            raise PydanticCustomError("invalid_value", message, {"fields": ", ".join(used)})
        if isinstance(self.git, GitInit) and self.git.url is None and self.connection is None:
            raise PydanticCustomError("invalid_value", "'git' needs a 'url', or a 'connection'")
        return self


class Mount(SpecModel):
    """A file or folder of the user's machine to upload: `from` there, `to` in the run's folder."""

    source: Annotated[str, Field(alias="from", min_length=1)]
    target: Annotated[str | None, Field(alias="to")] = None
