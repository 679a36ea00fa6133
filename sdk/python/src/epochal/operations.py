"""How each operation of a journal is done: which call it is, and what may go wrong with it."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_proto.v1.services import (
    AlertService,
    LineageService,
    RecordService,
    RegistryService,
    RunService,
    SearchService,
    TrackingService,
)
from google.protobuf.message import Message

from epochal.artifacts import ArtifactDoor
from epochal.chunks import KnownChunks
from epochal.client import Client
from epochal.errors import (
    AlreadyExists,
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
)
from epochal.spool.folder import RunFolder
from epochal.spool.journal import Operation


class Operator:
    """Does the operations of one folder on one platform."""

    def __init__(self, client: Client, folder: RunFolder) -> None:
        self._client = client
        self._folder = folder
        self._door = ArtifactDoor(client)
        self._chunks = KnownChunks(client, self._door)

    def perform(self, operation: Operation, patience_s: float) -> Message:
        """Does one operation; done twice it has one effect, because of its request id.

        Raises:
            EpochalError: Of the platform; see `is_refusal`.
        """
        call, patient = self._client.call, patience_s
        match operation:
            case pb.CreateRunRequest():
                try:
                    return call(RunService.CREATE_RUN, operation, patience_s=patient)
                except AlreadyExists:  # its id is ours: made long ago, the platform forgot how
                    name = f"{operation.parent}/runs/{operation.run_id}"
                    return call(RunService.GET_RUN, pb.GetRunRequest(name=name))
            case pb.LogParamsRequest():
                return call(TrackingService.LOG_PARAMS, operation, patience_s=patient)
            case pb.SetTagsRequest():
                return call(TrackingService.SET_TAGS, operation, patience_s=patient)
            case pb.ReportLossRequest():
                return call(TrackingService.REPORT_LOSS, operation, patience_s=patient)
            case pb.UseDatasetRequest():
                return call(LineageService.USE_DATASET, operation, patience_s=patient)
            case pb.LogDatasetRequest():
                return call(LineageService.LOG_DATASET, operation, patience_s=patient)
            case pb.UseModelRequest():
                return call(LineageService.USE_MODEL, operation, patience_s=patient)
            case pb.RegisterModelVersionRequest():
                return call(RegistryService.REGISTER_MODEL_VERSION, operation, patience_s=patient)
            case pb.RecordOutputsRequest():
                return call(RunService.RECORD_OUTPUTS, operation, patience_s=patient)
            case pb.RecordCaptureRequest():
                return call(TrackingService.RECORD_CAPTURE, operation, patience_s=patient)
            case pb.LogRecordsRequest():
                return call(RecordService.LOG_RECORDS, operation, patience_s=patient)
            case pb.RenameRunRequest():
                return call(RunService.RENAME_RUN, operation, patience_s=patient)
            case pb.AnnotateRunRequest():
                return call(SearchService.ANNOTATE_RUN, operation, patience_s=patient)
            case pb.FinishRunRequest():
                return call(RunService.FINISH_RUN, operation, patience_s=patient)
            case pb.DeclareAlertRulesRequest():
                return call(AlertService.DECLARE_ALERT_RULES, operation, patience_s=patient)
            case pb.CommitArtifactRequest():
                return self._upload(operation, patience_s)

    def close(self) -> None:
        """Closes the connection for artifacts."""
        self._door.close()

    def _upload(self, operation: pb.CommitArtifactRequest, patience_s: float) -> Message:
        file = self._folder.file(operation.sha256)
        try:
            self._door.put(
                operation.run,
                operation.path,
                file,
                sha256=operation.sha256,
                kind=operation.kind,
                patience_s=patience_s,
                copy_source=self._chunks.source_of(operation),
            )
        except OSError as error:
            raise NotFound(f"the file of artifact {operation.path} is gone: {error}") from error
        return operation


def is_refusal(error: EpochalError) -> bool:
    """Whether the platform understood and said no: asking again will not change that.

    Other errors (no permission, no such method, a mistake of the platform's) may be mended by
    someone, so what was asked is kept.
    """
    return isinstance(
        error, InvalidArgument | NotFound | AlreadyExists | FailedPrecondition | OutOfRange
    )


def refusal_in_words(operation: Operation, error: EpochalError) -> str:
    """What a refusal means to whoever logs the run.

    A tracked run that somebody stopped has ended before its process: that stands, and the process
    is not at fault.
    """
    if isinstance(operation, pb.FinishRunRequest):
        if error.reason == "ILLEGAL_TRANSITION":
            return "the run had been ended from outside, and stays so: what it logged is persisted"
        return f"the platform did not finish the run: {error.message}"
    return f"{type(operation).__name__.removesuffix('Request')} was refused: {error}"
