# The plan names every artifact; rules only say which step makes it.
import gc
import os
import sys
from pathlib import Path
from shlex import quote

# Planning makes millions of objects that all stay; looking for garbage among them takes a third of its time.
gc.disable()

ROOT = Path(os.path.relpath(workflow.basedir))
sys.path.insert(0, f"{workflow.basedir}/src")

import avbalance.pace
import avbalance.plan
from avbalance.cli import UserError

# The code that was keyed is the code that runs.
shell.prefix(f"export PYTHONPATH={workflow.basedir}/src:$PYTHONPATH; set -euo pipefail; ")

try:
    plan = avbalance.plan.make(ROOT, config)
    plan.check()
except UserError as error:
    raise SystemExit(f"error: {error}")

# One GPU a training job, as many at once as there are; a machine without any needs no setting.
gpus = avbalance.plan.num_gpus(plan.project.settings.device)
workflow.global_resources.setdefault("gpu", gpus)

if cached := plan.cached_elsewhere():
    print(f"{len(cached)} artifacts are cached, not pulled: dvc pull", file=sys.stderr)


def prepare_options(name, threads):
    """Workers and device of clips that are decoded; a reader that makes arrays itself needs neither."""
    decodes = plan.artifacts[f"results/prep/{name}"].recipe["step"] == "prepare.media"
    return f"--threads {threads} --device {plan.project.settings.device}" if decodes else ""


def needs(folder):
    """The absent inputs of an absent artifact; with ancient(), so that times decide nothing."""
    return lambda wildcards: [ancient(file) for file in plan.needs(f"results/{folder}/{wildcards.name}")]


def shown():
    """What `snakemake --report` shows; its files have fixed names, so no rule's outputs can be marked instead."""
    kinds = {"tables": (".csv", ".md"), "figures": (".svg",), "page": (".html",)}
    for artifact in plan.artifacts.values():
        kind, slug = artifact.folder.split("/")[0], artifact.name.rsplit(".", 1)[0]
        for suffix in kinds.get(kind, ()):
            file = f"results/{artifact.folder}/{slug}{suffix}"
            if os.path.exists(file):
                labels = {"name": slug, "format": suffix[1:]}
                yield report(file, caption=f"workflow/report/{kind}.rst", category=kind.capitalize(), labels=labels)


wildcard_constraints:
    name="[^/]+",
    scale="[^/]+",


onstart:
    gc.enable()
    plan.write_recipes()
    avbalance.pace.begin(ROOT, workflow.cores)
