"""The same data has the same profile, whichever library or file holds it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from library_environments import surroundings, trees

HERE = Path(__file__).parent


def test_pandas_polars_arrow_and_files_of_them_are_looked_into_alike(tmp_path: Path) -> None:
    done = subprocess.run(
        [trees(), HERE / "profiles.py", tmp_path],
        env=surroundings(HOME=str(tmp_path)), cwd=tmp_path,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    found = told["found"]
    assert set(found) == {"pandas", "polars", "lazy", "arrow", "batch"} | {
        ".parquet",
        ".feather",
        ".csv",
    }
    first = found["arrow"]
    assert [column["name"] for column in first["columns"]] == [
        "id",
        "height",
        "name",
        "member",
        "since",
    ]
    height = first["columns"][1]
    assert (height["nulls"], height["distinct"], height["max"]) == ("1", "2", 2)
    assert height["top"][0] == {"value": "1.5", "count": "2"}
    for name, one in found.items():
        assert one["rows"] == 4, name
        for column, known in zip(one["columns"], first["columns"], strict=True):
            for field in ("name", "nulls", "distinct", "min", "max", "mean", "quantiles"):
                assert column.get(field) == known.get(field), (name, column["name"], field)
            if name != ".csv" or column["name"] != "since":
                assert column["type"].partition("[")[0] == known["type"].partition("[")[0], name
    assert told["same_content"]
    assert told["kept"] == dict.fromkeys(("pandas", "polars", "arrow"), "parquet")
    assert told["series"] == [1, 1]
    assert told["numbers"]["rows"] == 3
