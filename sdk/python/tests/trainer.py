"""A training script for tests: logs until it is killed, or ends as it is told.

python trainer.py ENDING [points]      ENDING: wait | return | raise | exit0 | exit3 | forget
"""

import sys

import epochal

ending = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000

if ending == "forget":
    epochal.init(name="trainer").log_metric("loss", 1.0)
    sys.exit()

with epochal.init(name="trainer", params={"lr": 0.1}) as run:
    for step in range(count):
        run.log_metric("loss", float(step), step)
    run.set_tag("phase", "logged")
    if ending == "wait":
        run._telemetry.flush()
        print(run.name, flush=True)
        sys.stdin.read()
    if ending == "raise":
        raise ValueError("the loss is a duck")
    if ending.startswith("exit"):
        sys.exit(int(ending[4:]))
