"""Kills, damage and two at once: one line that says what to do, nothing lost."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from checkout import NOTHING, Checkout, environment

from avbalance import bundles, pace, plan

SNAKEMAKE = ["snakemake", "--config", "scale=small"]


def start(checkout: Checkout) -> subprocess.Popen[str]:
    return subprocess.Popen(
        SNAKEMAKE,
        cwd=checkout.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )


def wait_for_training(checkout: Checkout) -> None:
    deadline = time.monotonic() + 60
    while not list((checkout.path / "results" / "resume").glob("*/progress.json")):
        assert time.monotonic() < deadline, "training did not start"
        time.sleep(0.02)


def lengthen(checkout: Checkout) -> None:
    """One row long enough to be killed in."""
    training = "training: {optimizer: sgd, epochs: 12, patience: 12}"
    checkout.edit("config/tables/two_rows.yaml", "alpha: 0.5}}", f"alpha: 0.6}}}}, {training}")
    checkout.edit("workflow/rules/train.smk", "--device", "--checkpoint-seconds 0 --device")


def test_a_damaged_artifact_is_refused_named_and_repaired(pulled: Checkout) -> None:
    bundles.unpack(pulled.path)
    file = pulled.artifacts("runs")[0] / "predictions.npz"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-1])
    said = pulled.snakemake("-n", check=False)
    assert f"{file.relative_to(pulled.path)} has {len(content) - 1} bytes instead of {len(content)}" in said
    assert "Traceback" not in said
    repair = said.split("'")[1]
    pulled.run(*repair.split())
    assert NOTHING in pulled.snakemake("-n")
    assert file.read_bytes() == content


def test_damage_that_keeps_the_size_is_found_when_a_table_is_built(pulled: Checkout) -> None:
    """Half a minute, for each damage has a workflow of its own."""
    bundles.unpack(pulled.path)
    file = pulled.artifacts("runs")[0] / "predictions.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    pulled.edit("config/tables/two_rows.yaml", "title: Two rows", "title: Both rows")
    pulled.edit("config/tables/one_figure.yaml", "title: Curves", "title: Curve")
    said = pulled.snakemake(check=False)
    assert f"{file.relative_to(pulled.path)} has other bytes than its manifest says" in said
    assert (pulled.path / "results/tables/small/two_rows.md").exists()
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0:  # else no full disk can be had
        full = "mount -t tmpfs -o size=4k full results/logs && head -c 4096 /dev/zero > results/logs/full"
        command = f"{full} && {shlex.join(SNAKEMAKE)} --until build_table"
        said = pulled.run("unshare", "-rm", "bash", "-c", command, check=False)
        assert re.search(r"^tee: results/logs/tables/small/two_rows\.\w+\.log: No space left on device$", said, re.M)


def test_what_is_missing_or_changed_is_named_and_made_again(copy: Checkout) -> None:
    """Half a minute, for each loss is planned, and all are made again."""
    results = copy.path / "results"
    names = ("page/small.html", "figures/small/one_figure.svg", "tables/small/two_rows.md", "audit/small/avmnist.html")
    before = {results / name: (results / name).read_bytes() for name in names}
    page, figure, *others = before
    page.unlink()
    figure.write_bytes(b"x" * len(before[figure]))
    for file in others:
        file.write_bytes(b"")
    said = copy.run("python", "-m", "avbalance.verify", check=False, PYTHONPATH="src")
    assert f"{page.relative_to(copy.path)} is missing; 'snakemake --cores all' " in said
    for file in (figure, *others):
        assert f"{file.relative_to(copy.path)} has other bytes than {file.stem}." in said
    assert copy.planned() == {"build_page": 1, "draw_figure": 1, "build_table": 1, "audit_dataset": 1}
    copy.snakemake()
    assert {file: file.read_bytes() for file in before} == before
    assert NOTHING in copy.snakemake("-n")


def test_no_character_of_a_path_or_a_mirror_is_a_command_and_the_folders_own_code_runs(
    built: Checkout, tmp_path: Path
) -> None:
    """Half a minute, for a whole table is built in a folder of its own."""
    checkout = Checkout(tmp_path / """it's "a" $(touch planted) `touch planted`; touch planted & {name} %s : ü""")
    shutil.copytree(built.path, checkout.path, symlinks=True)
    for folder in ("raw", "prep", "audit", "tables", "figures", "page"):
        shutil.rmtree(checkout.path / "results" / folder)
    # A message at import would go to the warm process, which imports once.
    command_line = "    cli.step(__doc__, run)\n"
    checkout.edit("src/avbalance/prepare/download.py", command_line, f'    print("of this folder")\n{command_line}')
    checkout.snakemake()
    (log,) = (checkout.path / "results/logs/raw").iterdir()
    assert "of this folder" in log.read_text(encoding="utf-8")
    (raw,) = checkout.artifacts("raw")
    shutil.rmtree(raw)
    mirror = "mirror=$(touch planted)`touch planted`' ; touch planted"
    checkout.run("snakemake", f"results/raw/{raw.name}/manifest.json", *SNAKEMAKE[-2:], mirror)
    assert checkout.artifacts("raw") == [raw]
    assert list(tmp_path.rglob("planted")) == []


def test_kill_minus_nine_resumes_after_unlock_and_gives_the_same_bits(copy: Checkout, tmp_path: Path) -> None:
    """Half a minute, for a run is killed, refused, unlocked, resumed, and trained anew beside it."""
    lengthen(copy)
    shutil.copytree(copy.path, tmp_path / "undisturbed", symlinks=True)
    undisturbed = Checkout(tmp_path / "undisturbed")
    before = copy.artifacts("runs")
    process = start(copy)
    wait_for_training(copy)
    while not list((copy.path / "results" / "resume").glob("*-ogm_ge-*/checkpoint.*.pt")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [run for run in copy.artifacts("runs") if "-ogm_ge-" in run.name and run not in before] == []
    assert "unlock" in copy.snakemake(check=False)
    copy.run("snakemake", "--unlock")  # as the documents say
    copy.snakemake()
    undisturbed.snakemake("--until", "train_run")
    (resumed,) = (run for run in copy.artifacts("runs") if "-ogm_ge-" in run.name and run not in before)
    whole = undisturbed.path / resumed.relative_to(copy.path)
    assert (resumed / "predictions.npz").read_bytes() == (whole / "predictions.npz").read_bytes()


@pytest.mark.parametrize("options", [[], ["--profile", "workflow/profiles/slurm"]], ids=["here", "on a cluster"])
def test_a_fresh_clone_is_unlocked_without_further_options(clone: Checkout, options: list[str]) -> None:
    lock = clone.path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/tables\n", encoding="utf-8")
    clone.run("snakemake", "--unlock", *options)
    assert not lock.exists()


def test_sigterm_leaves_no_lock(copy: Checkout) -> None:
    """A quarter of a minute, for a workflow is stopped and run to its end."""
    lengthen(copy)
    process = start(copy)
    wait_for_training(copy)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    copy.snakemake("-n")
    assert not list((copy.path / ".snakemake" / "locks").iterdir())


def test_a_second_snakemake_is_refused_and_the_first_is_not_disturbed(copy: Checkout) -> None:
    """A quarter of a minute, for a workflow is trained to its end."""
    lengthen(copy)
    first = start(copy)
    wait_for_training(copy)
    said = copy.snakemake(check=False)
    assert "cannot be locked" in said
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert NOTHING in copy.snakemake("-n")


def test_status_tells_done_running_failed_and_left(copy: Checkout) -> None:
    status = ("python", "-m", "avbalance.status", "scale=small")
    assert "all tables and figures are up to date" in copy.run(*status, PYTHONPATH="src")
    copy.edit("config/tables/two_rows.yaml", "concat: {}", "concat: {training: {learning_rate: 1.0e+30}}")
    said = copy.snakemake(check=False)
    assert "the loss term 'joint' is" in said  # the log of what failed is shown
    said = copy.run(*status, PYTHONPATH="src")
    assert "failed   runs/avmnist-concat-linear-s0." in said
    assert "see results/logs/runs/avmnist-concat-linear-s0." in said
    workflow = json.loads((copy.path / pace.WORKFLOW).read_text(encoding="utf-8"))
    assert workflow["cores"] == 2
    steps = pace.steps_here(plan.make(copy.path, {"scale": "small"}))  # as Snakemake has noted them
    assert len([step for step in steps if step.artifact.kind == "runs"]) == 4  # three have failed
    assert min(step.seconds for step in steps) > 0


def test_an_error_in_the_configuration_is_one_line(clone: Checkout) -> None:
    clone.edit("config/tables/two_rows.yaml", "ogm_ge", "ogm-ge")
    said = clone.snakemake(check=False)
    assert (
        "error: config/tables/two_rows.yaml: rows.ogm.balancer: 'ogm-ge' is not a balancer; did you mean 'ogm_ge'?"
        in said
    )
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3  # two notices of Snakemake's about profile and --config, and our error
