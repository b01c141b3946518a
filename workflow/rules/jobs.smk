# Jobs here or on a cluster: their GPUs, processes and rate, and the parts of a preparation.
from functools import cache


def on_cluster():
    """True if jobs run elsewhere, or would, in a dry run; Snakemake knows it only after it has read all rules."""
    return workflow.execution_settings is not None and (workflow.use_threads or workflow.remote_exec)


@cache
def gpus_here():
    """Number of GPUs that jobs use at once on this machine."""
    from avbalance.plan import num_gpus

    return num_gpus(plan.project.settings)


def set_up_scheduler():
    """Give out this machine's GPUs, and lift Snakemake's default rate; one that a user asks for stays.

    To keep 100 jobs a second, Snakemake weighs all ready jobs each second, once for each job that has ended.
    """
    if not on_cluster():  # whose scheduler gives out its GPUs
        workflow.global_resources.setdefault("gpu", gpus_here())
    rate = getattr(workflow.scheduling_settings, "max_jobs_per_timespan", None)  # no settings if nothing is to run
    if rate is not None and (rate.max_jobs, rate.timespan) == (100, 1):
        workflow.scheduling_settings.max_jobs_per_timespan = None


def gpu(wildcards):
    """GPUs that a job asks for which computes on one: a login node does not know whether its cluster has any."""
    if on_cluster():
        return int(plan.project.settings.device != "cpu" and plan.project.settings.gpus != 0)
    return min(gpus_here(), 1)


def prepared(wildcards):
    """The prepared data of a job."""
    return plan.artifacts[f"results/prep/{wildcards.name}.{wildcards.key}"]


def parts(wildcards):
    """Markers of the jobs that make the shards of an absent artifact."""
    return plan.parts(prepared(wildcards))


def threads_to_prepare(wildcards):
    """Processes of a job that prepares data: all cores, or 16 of a cluster's node.

    Generated files are few, so several datasets of them are prepared at once.
    """
    if plan.is_generated(prepared(wildcards)):
        return 1
    return 16 if on_cluster() else workflow.cores
