"""Conventions of Snakemake workflows: lint, format, profiles, what the workflow catalogue reads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkout import environment

from avbalance.configuration.schema import Settings

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "Specify a conda environment or container for each rule."
"""The one lint that docs/decisions.md declines: all rules share the environment of requirements.lock."""


def run(*command: str, check: bool = True, **more: str) -> str:
    variables = {**environment(), **more}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_lint_asks_for_nothing_but_an_environment_for_each_rule() -> None:
    """A quarter of a minute, for Snakemake's lint reads every rule."""
    lints = re.findall(r"^    \* (.*):$", run("snakemake", "--lint", check=False), re.MULTILINE)
    assert set(lints) == {ENVIRONMENT}


def test_the_rules_are_formatted() -> None:
    run("snakefmt", "--check", "Snakefile", "workflow")


@pytest.mark.parametrize("gpus", ["auto", "0"])
def test_the_slurm_profile_asks_for_gpus_memory_and_time_on_a_login_node_without_a_gpu(gpus: str) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    config = ["--config", "tables=[avmnist_mmcosine]", "seeds=[101]", f"gpus={gpus}"]
    plan = run("snakemake", "--profile", "workflow/profiles/slurm", "-n", *config)
    resources = dict(re.findall(r"^ *rule (\w+):\n(?: +.*\n)*? +resources: (.*)$", plan, re.MULTILINE))
    for expected in ("mem_mb=32000", "runtime=1440"):
        assert expected in resources["train_run"]
    asking = {rule for rule, asked in resources.items() if "gpu=1" in asked}
    assert asking == ({"train_run", "probe_run"} if gpus == "auto" else set())


def test_here_as_many_jobs_ask_for_a_gpu_as_there_are(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: one'; echo 'GPU 1: another'\n", encoding="utf-8")
    smi.chmod(0o755)
    config = ["--config", "tables=[avmnist_mmcosine]", "seeds=[101]"]
    plan = run("snakemake", "-n", *config, PATH=f"{tmp_path}:{environment()['PATH']}")
    assert "gpu=1" in plan
    assert "gpu=1" not in run("snakemake", "-n", *config, "gpus=0", PATH=f"{tmp_path}:{environment()['PATH']}")


@pytest.mark.parametrize(
    "rule",
    ["download_raw", "choose_trial", "combine_runs", "build_table", "draw_figure", "build_page", "audit_dataset"],
)
def test_small_rules_run_on_the_login_node(rule: str) -> None:
    block = (ROOT / "Snakefile").read_text(encoding="utf-8").split("localrules:")[1].split("\n\n")[0]
    assert rule in re.findall(r"\w+", block)


def test_the_page_of_the_catalogue_explains_every_key_of_the_configuration() -> None:
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    keys = {field.alias or name for name, field in Settings.model_fields.items()}
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_the_hosted_tests_are_those_of_the_checkout() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert sys.version_info >= (3, 11)
