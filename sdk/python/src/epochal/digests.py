"""Digests of content: the same data has the same digest whatever machine and day it is.

- file, bytes: sha256 of the bytes.
- folder: sha256 over one line a file, `<path> NUL <sha256 hex> LF`, paths relative with `/`, in
  byte order; times, owners and empty folders do not count.
- numpy array: sha256 over dtype and shape as text, then the elements in C order.
- pandas frame or series: sha256 over column names and dtypes, then pandas' own row hashes.
- polars frame or series: sha256 over each column's name, type, nulls and values in turn.
- Arrow table: sha256 over its IPC bytes, in one piece and without metadata; the same data has the
  same digest as long as pyarrow writes it the same.
- tuple or list of these: sha256 over their digests, in order.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epochal.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np

_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What data is: where, and digest ("sha256:HEX", or empty when only the place is known)."""

    uri: str
    digest: str


def describe(data: object) -> Content:
    """Finds place and digest of data: a path, a URI, bytes, arrays, frames, or a tuple of them.

    Raises:
        InvalidArgument: There is no such file, or we cannot digest this kind of object.
    """
    if isinstance(data, str) and "://" in data:
        return Content(data, "")
    if isinstance(data, str | Path):
        path = Path(data).expanduser().resolve()
        if not path.exists():
            raise InvalidArgument(f"there is no file or folder {path}; a URI has the form s3://...")
        raw = folder_sha256(path) if path.is_dir() else file_sha256(path)
        return Content(path.as_uri(), _text(raw))
    return Content(f"python:{_kind(data)}", _text(_memory_sha256(data)))


def file_sha256(path: Path) -> bytes:
    """sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()


def folder_sha256(root: Path) -> bytes:
    """sha256 of a folder's files, as the module's head says."""
    digest = hashlib.sha256()
    entries = sorted((path.relative_to(root).as_posix().encode(), path) for path in files(root))
    for relative, path in entries:
        digest.update(relative + b"\0" + file_sha256(path).hex().encode() + b"\n")
    return digest.digest()


def files(root: Path) -> Iterator[Path]:
    """Every file below a folder, in no order."""
    return (path for path in root.rglob("*") if path.is_file())


def _memory_sha256(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return hashlib.sha256(data).digest()
    if isinstance(data, tuple | list) and data:
        return hashlib.sha256(b"".join(_memory_sha256(part) for part in data)).digest()
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame | pandas.Series):
        frame = data.to_frame() if isinstance(data, pandas.Series) else data
        head = repr([(str(name), str(dtype)) for name, dtype in frame.dtypes.items()])
        rows: np.ndarray = pandas.util.hash_pandas_object(frame).to_numpy()
        return hashlib.sha256(head.encode() + rows.tobytes()).digest()
    framed = _frame_sha256(data)
    if framed is not None:
        return framed
    if hasattr(data, "__array__"):
        import numpy as np

        array = np.ascontiguousarray(data)
        if array.dtype.hasobject:
            raise InvalidArgument("an array of objects has no digest: give digest= yourself")
        digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.reshape(-1).view("u1").data if array.size else b"")
        return digest.digest()
    raise InvalidArgument(f"cannot digest {_kind(data)}: give a path, a URI, or digest= yourself")


def _frame_sha256(data: object) -> bytes | None:
    """sha256 of an Arrow table or a polars frame; None for anything else."""
    polars, pyarrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(data, polars.DataFrame | polars.LazyFrame | polars.Series):
        found = data.collect() if isinstance(data, polars.LazyFrame) else data
        return _polars_sha256(found.to_frame() if isinstance(found, polars.Series) else found)
    if pyarrow is not None and isinstance(data, pyarrow.Table | pyarrow.RecordBatch):
        batch = isinstance(data, pyarrow.RecordBatch)
        table = pyarrow.Table.from_batches([data]) if batch else data
        table = table.combine_chunks().replace_schema_metadata(None)
        out = io.BytesIO()
        with importlib.import_module("pyarrow.ipc").new_stream(out, table.schema) as writer:
            writer.write_table(table)
        return hashlib.sha256(out.getvalue()).digest()
    return None


def _polars_sha256(frame: Any) -> bytes:
    """Column by column: the same rows have the same digest however they lie in memory."""
    polars = sys.modules["polars"]
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame.get_column(name)
        digest.update(f"{name}\0{column.dtype}\0".encode())
        digest.update(column.is_null().to_numpy().tobytes())
        if column.dtype in (polars.Categorical, polars.Enum):
            column = column.cast(polars.String)
        plain = column.to_physical()
        if plain.dtype == polars.Boolean:
            plain = plain.cast(polars.UInt8)
        if plain.dtype.is_numeric():
            digest.update(plain.fill_null(0).to_numpy().tobytes())
        elif plain.dtype == polars.String:
            texts = plain.fill_null("")
            digest.update(texts.str.len_bytes().to_numpy().tobytes())
            digest.update("".join(texts).encode())
        else:
            out = io.BytesIO()
            column.rechunk().to_frame().write_ipc(out, compression="uncompressed")
            digest.update(out.getvalue())
    return digest.digest()


def _kind(data: object) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}"


def _text(raw: bytes) -> str:
    return f"sha256:{raw.hex()}"
