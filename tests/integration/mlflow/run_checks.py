"""Runs in a client's environment: each function `check_...` of a module, a line of JSON for each.

python run_checks.py MODULE_FILE
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Run the checks of the module named on the command line."""
    path = Path(sys.argv[1])
    sys.path.insert(0, str(Path(__file__).parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, check in list(vars(module).items()):
        if not name.startswith("check_"):
            continue
        try:
            check()
            problem = ""
        except BaseException:  # each check is told apart, whatever it raises
            problem = traceback.format_exc()
        print("CHECK " + json.dumps({"name": name, "problem": problem}), flush=True)


if __name__ == "__main__":
    main()
