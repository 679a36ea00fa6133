"""The corpus of specs: how each file is compiled, and what it is expected to give.

`specs/good/NAME.yaml` has beside it `NAME.json`, its compiled form, and perhaps `NAME.case.yaml`:
parameters, layers, registry, and which children to compile. `specs/bad/NAME.yaml` has `NAME.txt`.
"""

import json
from pathlib import Path

import yaml
from epochal_scheduler.spec.children import ChildCompiler
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.issues import SpecError
from epochal_scheduler.spec.library import Library
from epochal_scheduler.spec.nodes import ListNode, MapNode
from epochal_scheduler.spec.schema.documents import Polyaxonfile
from epochal_scheduler.spec.schema.lookup import models, narrow, step, table
from spec_samples import SCOPE

SPECS = Path(__file__).parent / "specs"
GOOD = sorted(path for path in (SPECS / "good").glob("*.yaml") if ".case" not in path.name)
BAD = sorted(path for path in (SPECS / "bad").glob("*.yaml") if ".case" not in path.name)


def case_of(path):
    case = path.with_suffix(".case.yaml")
    return yaml.safe_load(case.read_text()) if case.exists() else {}


def library_of(case):
    read = {
        section: {name: (SPECS / "library" / file).read_bytes() for name, file in files.items()}
        for section, files in ((s, case.get(s, {})) for s in ("components", "presets"))
    }
    return Library(read["components"], read["presets"], case.get("organization", ""))


def compile_case(path, case):
    layers = [(SPECS / "library" / file).read_bytes() for file in case.get("overlays", ())]
    return compile_operation(
        [path.read_bytes(), *layers],
        case.get("params", {}),
        SCOPE,
        library_of(case),
        resolved=case.get("resolved", {}),
    )


def outcome(path):
    """Returns everything that compiling a good spec gives, as plain data."""
    case = case_of(path)
    compiled = compile_case(path, case)
    found = {
        "plan": json.loads(compiled.canonical_json),
        "runtime": compiled.plan.runtime,
        "warnings": [f"{i.field}: {i.rule}: {i}" for i in compiled.warnings],
    }
    compiler = ChildCompiler(compiled.plan) if "children" in case or "hooks" in case else None
    for child in case.get("children", ()):
        step = child.get("step", "")
        made = compiler.compile(_plain(child.get("values", {})), SCOPE, step)
        found.setdefault("children", []).append(json.loads(made.canonical_json))
    for index in case.get("hooks", ()):
        made = compiler.compile_hook(index, SCOPE, case.get("outputs", {}))
        plan = json.loads(made.canonical_json) if made is not None else None
        found.setdefault("hooks", []).append(plan)
    if compiler is not None and compiler.steps:
        found["steps"] = {name: _shown(step) for name, step in compiler.steps.items()}
    return found


def _plain(values):
    return json.loads(json.dumps(values, default=str))


def _shown(step):
    needs = [f"{n.step} {' '.join(n.statuses)}".strip() for n in step.needs]
    shown = {"runtime": step.runtime, "trigger": step.trigger, "needs": needs}
    if step.has_condition:
        shown["condition"] = True
    if step.skip_on_upstream_skip:
        shown["skipOnUpstreamSkip"] = True
    if step.references:
        shown["references"] = [
            f"{r.param} = {r.entity} {r.name} {'.'.join(r.path)}" for r in step.references
        ]
    if step.joins:
        shown["joins"] = [
            f"{j.query} {j.sort} {j.limit} {j.ref} {dict(j.params)}" for j in step.joins
        ]
    return shown


def complaints(path):
    """Returns what a bad spec is refused for, one line an issue."""
    try:
        compile_case(path, case_of(path))
    except SpecError as error:
        return [
            f"{i.mark.source + 1}:{i.mark.line}:{i.mark.column} {i.field} {i.rule}\n  {i.message}"
            for i in error.issues
        ]
    return []


def note_fields(node, kinds, seen):
    """Notes every field of every model that a document uses."""
    known = models(kinds)
    if isinstance(node, ListNode):
        for item in node.items:
            note_fields(item, step(kinds, 0), seen)
    if not isinstance(node, MapNode):
        return
    kind = node.entries.get("kind")
    if kind is not None and len(known) > 1 and hasattr(kind, "text"):
        known = models(narrow(kinds, kind.text))
    for key, value in node.entries.items():
        for model in known:
            if key in table(model):
                seen.add((model.__name__, table(model)[key][0]))
        inner = step(tuple(known) or kinds, key)
        if key in ("operations", "components") and any(m.__name__ == "Dag" for m in known):
            inner = (list[Polyaxonfile],)
        note_fields(value, inner, seen)


def every_field(kinds, seen, done):
    """Notes every field of every model that may stand at a place."""
    for model in models(kinds):
        if model in done:
            continue
        done.add(model)
        for alias, inner in table(model).values():
            seen.add((model.__name__, alias))
            every_field(_flat(inner), seen, done)


def _flat(kinds):
    found = list(models(kinds))
    for kind in kinds:
        if not isinstance(kind, type):
            found += _flat((*step((kind,), 0), *step((kind,), "x")))
    return tuple(found)


def pretty(data):
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_goldens():
    """Writes what is found now; to be read line by line before it is committed."""
    for path in GOOD:
        path.with_suffix(".json").write_text(pretty(outcome(path)))
    for path in BAD:
        path.with_suffix(".txt").write_text("\n".join(complaints(path)) + "\n")
