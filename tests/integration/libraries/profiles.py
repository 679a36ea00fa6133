"""Prints what is in the same data, as pandas, polars, Arrow and files of them hold it."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import epochal_proto.v1 as pb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from epochal import digests
from epochal.logging_datasets import _as_file
from epochal.profiling.files import look_into_file
from epochal.profiling.frames import look_into
from google.protobuf.json_format import MessageToDict

AT = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
DATA = {
    "id": [1, 2, 3, 4],
    "height": [1.5, None, 2.0, 1.5],
    "name": ["ann", "bob", None, "bob"],
    "member": [True, False, True, True],
    "since": AT,
}
folder = Path(sys.argv[1])
table = pa.table(DATA)
frames = {
    "pandas": pd.DataFrame(DATA),
    "polars": pl.DataFrame(DATA),
    "lazy": pl.LazyFrame(DATA),
    "arrow": table,
    "batch": table.to_batches()[0],
}
pyarrow.parquet.write_table(table, folder / "d.parquet")
pyarrow.feather.write_feather(table, folder / "d.feather")
frames["pandas"].to_csv(folder / "d.csv", index=False)
found = {name: look_into(frame) for name, frame in frames.items()}
found |= {file.suffix: look_into_file(file) for file in sorted(folder.iterdir())}


def told(contents: pb.DatasetContents) -> dict[str, object]:
    columns = [MessageToDict(column) for column in contents.columns]
    return {"rows": contents.rows, "format": contents.format, "columns": columns}


def digest(data: object) -> str:
    return digests.describe(data).digest


def same_content() -> bool:
    again = {
        "pandas": pd.DataFrame(DATA),
        "polars": pl.concat([pl.DataFrame(DATA)[:2], pl.DataFrame(DATA)[2:]]),
        "arrow": pa.concat_tables([table.slice(0, 2), table.slice(2)]),
    }
    return all(digest(frames[name]) == digest(one) for name, one in again.items())


def kept() -> dict[str, str]:
    names = ("pandas", "polars", "arrow")
    files = {name: _as_file(frames[name], folder / "kept") for name in names}
    return {name: look_into_file(file).format for name, file in files.items()}


(folder / "kept").mkdir()
series = [look_into(one["id"]) for one in (frames["pandas"], frames["polars"])]
print(
    json.dumps(
        {
            "found": {name: told(contents) for name, contents in found.items()},
            "same_content": same_content(),
            "kept": kept(),
            "series": [len(one.columns) for one in series],
            "numbers": told(look_into(np.arange(3))),
        }
    )
)
