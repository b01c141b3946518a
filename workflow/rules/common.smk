# The plan names every artifact; rules only say which step makes it.
import gc
import sys
from pathlib import Path
from shlex import quote

sys.path.insert(0, f"{workflow.basedir}/src")

from avbalance.errors import UserError
from avbalance.pace import begin
from avbalance.plan import for_snakemake, num_gpus
from avbalance.warm import FEW, MODULES, start

plan = for_snakemake(config, f"{workflow.basedir}/src")

# One GPU for each training job, and as many jobs at once as there are GPUs; a machine without any needs no setting.
gpus = num_gpus(plan.project.settings.device)
workflow.global_resources.setdefault("gpu", gpus)


def step(module, options):
    """Shell text of a step, whose messages go to its log; if the log cannot be written, tee reports it."""
    python = quote(sys.executable).replace("{", "{{").replace("}", "}}")
    recipe = "results/recipes/{wildcards.name:q}.{wildcards.key}.json"
    return (
        f"{python} -m avbalance {module} --recipe {recipe} {options}"
        " > {log:q} 2>&1 || {{ echo | tee -a {log:q} > /dev/null; exit 1; }}"
    )


def needs(path):
    """Input function: the absent inputs of an absent artifact, so that times decide nothing.

    A stamp may exist although its files are missing or changed; Snakemake has to be told that it counts as absent.
    """

    def absent(wildcards):
        workflow.dag.forcefiles.update(plan.broken)
        return plan.needs(path.format(**dict(wildcards.items())))

    return absent


def prepared(wildcards):
    """The prepared data of a job."""
    return plan.artifacts[f"results/prep/{wildcards.name}.{wildcards.key}"]


def threads_to_prepare(wildcards):
    """Processes of a job that prepares data: all cores, or 16 of a cluster's node.

    Generated files are few, so several datasets of them are prepared at once.
    """
    if plan.is_generated(prepared(wildcards)):
        return 1
    return workflow.cores if workflow.local_exec and workflow.cores else 16


def parts(wildcards):
    """Markers of the jobs that make the shards of an absent artifact."""
    return plan.parts(prepared(wildcards))


def shown():
    """Files for `snakemake --report`; their names are fixed, so they cannot be outputs of rules."""
    for file, kind, slug in plan.reported():
        labels = {"name": slug, "format": Path(file).suffix[1:]}
        yield report(file, caption=f"workflow/report/{kind}.rst", category=kind.capitalize(), labels=labels)


wildcard_constraints:
    name="[^/]+",
    key="[0-9a-f]{12}",
    part="[0-9]+",
    scale="[^/]+",


onstart:
    gc.enable()
    try:
        plan.write_recipes()
        begin(Path(), workflow.cores)
        # A job of a cluster keeps to the processors and the memory that it was given; a few jobs import for themselves.
        if workflow.local_exec and len(list(workflow.dag.needrun_jobs())) > FEW:
            start(MODULES)
    except UserError as error:
        raise SystemExit(f"error: {error}")
    from avbalance import display, status

    display.start(lambda: status.draw(plan, status.survey(plan), "ellipsis"), workflow.output_settings.quiet)
