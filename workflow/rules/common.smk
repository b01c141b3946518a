# The plan names every artifact; rules only say which step makes it.
import gc
import sys
from functools import cache
from pathlib import Path
from shlex import quote

from snakemake.settings.types import DeploymentMethod

sys.path.insert(0, f"{workflow.basedir}/src")

from avbalance.cli import choose_sources
from avbalance.errors import UserError

if workflow.is_main_process:
    from avbalance.plan import for_snakemake

    plan = for_snakemake(config, f"{workflow.basedir}/src")
else:  # an executor has started this process for a step
    from avbalance.planning.recipes import Recipes

    choose_sources(f"{workflow.basedir}/src")
    plan = Recipes(config)


def on_cluster():
    """True if jobs run elsewhere, or would, in a dry run; Snakemake knows it only after it has read all rules."""
    return workflow.execution_settings is not None and (workflow.use_threads or workflow.remote_exec)


@cache
def gpus_here():
    """Number of GPUs that jobs use at once on this machine."""
    from avbalance.plan import num_gpus

    return num_gpus(plan.project.settings)


def gpu(wildcards):
    """GPUs that a job asks for which computes on one: a login node does not know whether its cluster has any."""
    if on_cluster():
        return int(plan.project.settings.device != "cpu" and plan.project.settings.gpus != 0)
    return min(gpus_here(), 1)


# A container has its own Python; the one here may not exist there.
in_container = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
python = "python" if in_container else quote(sys.executable).replace("{", "{{").replace("}", "}}")


def step(module, options):
    """Shell text of a step, whose messages go to its log; if the log cannot be written, tee reports it."""
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
        if not on_cluster():  # whose scheduler gives out its GPUs
            workflow.global_resources.setdefault("gpu", gpus_here())
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
    return 16 if on_cluster() else workflow.cores


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
    from avbalance import display, pace, status, warm

    gc.enable()
    try:
        plan.write_recipes()
        pace.begin(Path(), workflow.nodes if on_cluster() else workflow.cores, on_cluster())
        # A job of a cluster keeps to the processors and the memory that it was given; a few jobs import for themselves.
        if not on_cluster() and len(list(workflow.dag.needrun_jobs())) > warm.FEW:
            warm.start(warm.MODULES)
    except UserError as error:
        raise SystemExit(f"error: {error}")
    display.start(lambda: status.draw(plan, status.survey(plan), "ellipsis"), workflow.output_settings.quiet)
