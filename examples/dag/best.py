"""Takes the best of what a join collected: two lists, in the same order."""

import json
import sys

import epochal

accuracies, strengths = (json.loads(text) for text in sys.argv[1:3])
accuracy, strength = max(zip(accuracies, strengths, strict=True))
print(f"the best of {len(accuracies)} is C={strength}: {accuracy:.4f}")
with epochal.init() as run:
    run.log_outputs(accuracy=accuracy, strength=strength)
