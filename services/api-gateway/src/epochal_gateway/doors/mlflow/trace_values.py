"""Values of traces and of what is said of them: times, and what of long texts is kept."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields

KEY_CHARS: Final = 250
VALUE_CHARS: Final = 8_000


def short(values: dict[str, str]) -> dict[str, str]:
    """Return tags or metadata cut to what is kept, as MLflow's server cuts them."""
    return {key[:KEY_CHARS]: value[:VALUE_CHARS] for key, value in values.items() if key}


def time_of(fields: Fields, name: str) -> Timestamp:
    """Return a time as protobuf's JSON has it.

    Raises:
        MlflowError: it is missing or none.
    """
    time = Timestamp()
    try:
        time.FromJsonString(fields.required(name))
    except ValueError:
        raise MlflowError(
            f"Invalid value for parameter '{fields.place(name)}': expected a time, such as "
            "'2026-01-31T12:00:00Z'"
        ) from None
    return time
