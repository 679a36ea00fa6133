"""docs/sdk.md is one program that runs, and it leaves no public name out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import epochal
from platform_world import Platform

sys.path.insert(0, str(Path(__file__).parent))

from library_environments import surroundings, trees

PAGE = Path(__file__).parents[3] / "docs/sdk.md"
#: `for log in (run, epochal)` makes a call of both; these say which is which.
RUN = re.compile(r"\b(?:run|nothing|current_run\(\)|log)\.(\w+)")
MODULE = re.compile(r"\b(?:epochal|log)\.(\w+)")


def program() -> str:
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    )


def test_every_public_name_is_in_the_program() -> None:
    text = program()
    missing = set(epochal.__all__) - set(MODULE.findall(text))
    assert not missing, f"docs/sdk.md shows no {', '.join(sorted(missing))}"
    calls = {name for name in dir(epochal.Run) if not name.startswith("_")}
    missing = calls - set(RUN.findall(text)) - {"finish"}
    assert not missing, f"docs/sdk.md shows no Run.{', Run.'.join(sorted(missing))}"


def test_the_program_runs(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program())
    env = surroundings(
        EPOCHAL_URL=platform.url,
        EPOCHAL_TOKEN=platform.token,
        EPOCHAL_PROJECT="orgs/default/projects/main",
        EPOCHAL_SPOOL=str(tmp_path / "spool"),
        EPOCHAL_CONFIG=str(tmp_path / "none.json"),
        EPOCHAL_SYSTEM_METRICS_S="0",
        HOME=str(tmp_path),
    )
    done = subprocess.run(
        [trees(), "program.py"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
