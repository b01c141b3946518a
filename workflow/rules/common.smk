# The plan names every artifact; rules only say which step makes it.
import gc
import sys
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
        set_up_scheduler()
        return plan.needs(path.format(**dict(wildcards.items())))

    return absent


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
        if not (on_cluster() or in_container) and len(list(workflow.dag.needrun_jobs())) > warm.FEW:
            warm.start(warm.MODULES)
    except UserError as error:
        raise SystemExit(f"error: {error}")
    display.start(lambda: status.draw(plan, status.survey(plan), "ellipsis"), workflow.output_settings.quiet)
