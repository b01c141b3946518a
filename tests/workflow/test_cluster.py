"""A table on a real Slurm, in which a job and a node die, against the same table on this machine alone."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
import slurm
from checkout import Checkout, environment
from slurm import Slurm

FOLDERS = (
    "bundles",
    "prep",
    "audit",
    "runs",
    "weights",
    "probes",
    "tables",
    "figures",
    "page",
    "logs",
    "recipes",
    "resume",
)
COMPUTING = ("train_run", "probe_run")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    if (why := slurm.missing()) is not None:
        pytest.skip(why)
    started = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.mark.timeout(1800)
def test_a_table_survives_the_death_of_a_job_and_of_a_node_and_has_the_numbers_of_this_machine(
    cluster: Slurm, copy: Checkout, built: Checkout
) -> None:
    """Minutes, for every job of a cluster starts Snakemake twice, and a dead node is waited for."""
    for folder in FOLDERS:
        shutil.rmtree(copy.path / "results" / folder)
    command = ["snakemake", "--profile", "workflow/profiles/slurm", "--config", "scale=small"]
    options = ["--slurm-init-seconds-before-status-checks", "1", "--default-resources", "runtime=10", "mem_mb=1000"]
    variables = {**environment(), **cluster.environment}
    variables["PATH"] = f"{cluster.folder}/bin:{environment()['PATH']}:/usr/sbin"
    with subprocess.Popen(
        [*command, *options],
        cwd=copy.path,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as workflow:
        cluster.run("scancel", cluster.wait_for_running("train_run").fields["JobId"])
        failing = cluster.wait_for_running("train_run", "node2")
        cluster.wait_for_running("train_run", "node1")  # two nodes side by side
        assert failing.fields["JobId"] in {job.fields["JobId"] for job in cluster.jobs() if job.is_running}
        cluster.kill_node("node2")
        said, _ = workflow.communicate(timeout=1200)
    assert workflow.returncode == 0, said[-4000:]

    jobs = cluster.jobs()
    by_rule = {rule: [job for job in jobs if job.rule == rule] for rule in ("pack_clips", *COMPUTING)}
    assert [job.fields["JobState"] for job in by_rule["train_run"]].count("CANCELLED") == 1
    (moved,) = (job for job in jobs if job.fields["JobId"] == failing.fields["JobId"])
    assert (moved.fields["JobState"], moved.fields["Restarts"], moved.fields["NodeList"]) == ("COMPLETED", "1", "node1")
    asked = {rule: {job.fields.get("TresPerJob") for job in of_rule} for rule, of_rule in by_rule.items()}
    assert asked == {"pack_clips": {None}, "train_run": {"gres:gpu:1"}, "probe_run": {"gres:gpu:1"}}
    assert {job.rule for job in jobs} == set(by_rule), "short steps run where Snakemake runs"

    files = [file.relative_to(built.path) for file in (built.path / "results").glob("[rp]*/*/*.npz")]
    files += [file.relative_to(built.path) for file in (built.path / "results" / "tables" / "small").glob("*.csv")]
    assert len(files) == 4 * 2 + 2 + 1  # of runs predictions and norms of weights, of probes predictions; a table
    for file in files:
        assert (copy.path / file).read_bytes() == (built.path / file).read_bytes(), file
