# Regenerates every table: `snakemake --cores`; a part: `snakemake --cores --config scale=laptop tables=[avmnist_table1]`.
import atexit
import subprocess
import sys

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/jobs.smk"


# With --software-deployment-method apptainer every job runs in this image (docs/usage.md).
if in_container:

    containerized: "avbalance.sif"


# On a cluster these run on the login node: they are short, or need the network.
localrules:
    all,
    download_raw,
    select_clips,
    choose_trial,
    combine_runs,
    audit_dataset,
    build_table,
    draw_figure,
    build_page,


# Everything that was asked for: tables, figures and the page.
rule all:
    default_target: True
    input:
        plan.targets,
        list(shown()),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/tables.smk"


# After a failure, still build the page from what is finished; it lists what failed. It gets no stamp, so the next run
# rebuilds it.
onerror:
    for page, name in plan.pages.items():
        files = ["--recipe", f"results/recipes/{name}.json", "--out", page]
        subprocess.run([sys.executable, "-m", "avbalance.results.page", *files], check=False)


onsuccess:
    for page in plan.pages:
        atexit.register(print, f"The page: {page}")  # the last line
