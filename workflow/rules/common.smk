# The plan names every artifact; rules only say which step makes it.
import gc
import sys
from pathlib import Path
from shlex import quote

# Planning makes millions of objects that all stay; looking for garbage among them takes a third of its time.
gc.disable()

sys.path.insert(0, f"{workflow.basedir}/src")

import avbalance.pace
import avbalance.plan
from avbalance.errors import UserError
from avbalance.cli import choose_sources

try:
    choose_sources(f"{workflow.basedir}/src")
    plan = avbalance.plan.make(Path(), config)
    plan.check()
except UserError as error:
    raise SystemExit(f"error: {error}")

# One GPU a training job, as many at once as there are; a machine without any needs no setting.
gpus = avbalance.plan.num_gpus(plan.project.settings.device)
workflow.global_resources.setdefault("gpu", gpus)

for line in plan.notes():
    print(line, file=sys.stderr)


def step(module, options):
    """Shell text of a step, which says everything in its log; where that cannot be written, tee says so here."""
    python = quote(sys.executable).replace("{", "{{").replace("}", "}}")
    return (
        f"{python} -m avbalance.{module} --recipe results/recipes/{{wildcards.name:q}}.json {options}"
        " > {log:q} 2>&1 || {{ echo | tee -a {log:q} > /dev/null; exit 1; }}"
    )


def prepare_options(name, threads):
    """Workers and device of clips that are decoded; a reader that makes arrays itself needs neither."""
    decodes = plan.artifacts[f"results/prep/{name}"].recipe["step"] == "media"
    return ["--threads", threads, "--device", plan.project.settings.device] if decodes else []


def needs(folder):
    """The absent inputs of an absent artifact, so that times decide nothing.

    A stamp whose files are missing or changed since is there; so Snakemake has to be told that it is absent.
    """

    def absent(wildcards):
        workflow.dag.forcefiles.update(plan.broken)
        return plan.needs(f"results/{folder}/{wildcards.name}")

    return absent


def shown():
    """Files of `snakemake --report`; their names are fixed, so no rule's outputs can be marked instead."""
    for file, kind, slug in plan.reported():
        labels = {"name": slug, "format": Path(file).suffix[1:]}
        yield report(file, caption=f"workflow/report/{kind}.rst", category=kind.capitalize(), labels=labels)


wildcard_constraints:
    name="[^/]+",
    scale="[^/]+",


onstart:
    gc.enable()
    try:
        plan.write_recipes()
        avbalance.pace.begin(Path(), workflow.cores)
    except UserError as error:
        raise SystemExit(f"error: {error}")
