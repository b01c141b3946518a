"""What is fresh is decided by recipes, never by times."""

import os
import random
import re
from pathlib import Path

import pytest
from checkout import NOTHING, Checkout

pytestmark = pytest.mark.xdist_group("workflow")


def test_a_fresh_clone_has_nothing_to_do(clone: Checkout) -> None:
    assert NOTHING in clone.snakemake("-n")


def test_after_dvc_pull_there_is_nothing_to_do_and_all_verifies(pulled: Checkout) -> None:
    assert NOTHING in pulled.snakemake("-n")
    assert len(pulled.artifacts("runs")) == 4  # two rows and each modality alone
    assert pulled.artifacts("weights") == pulled.artifacts("prep") == []
    said = pulled.run("python", "-m", "avbalance.verify", PYTHONPATH="src")
    # A table, a figure, the page and the audit of AV-MNIST.
    assert "6 artifacts and 4 tables, figures, audits and pages verified; 1 tables are what their runs say" in said


def test_scrambled_times_change_nothing(pulled: Checkout) -> None:
    rng = random.Random(0)
    for folder, _, files in os.walk(pulled.path):
        for name in files:
            if ".git/" not in folder:
                os.utime(Path(folder) / name, times=(rng.random() * 2e9,) * 2)
    assert NOTHING in pulled.snakemake("-n")


def test_one_edited_row_plans_that_row_and_its_table(copy: Checkout) -> None:
    copy.edit("config/tables/two_rows.yaml", "alpha: 0.5", "alpha: 0.6")
    assert copy.planned() == {"train_run": 1, "probe_run": 1, "build_table": 1, "build_page": 1}
    copy.edit("config/tables/two_rows.yaml", "alpha: 0.6", "alpha: 0.5")
    assert copy.planned() == {}


def test_an_edited_row_is_trained_and_edited_back_only_the_table_is_built(copy: Checkout) -> None:
    table = copy.path / "results" / "tables" / "small" / "two_rows.md"
    before = table.read_text(encoding="utf-8")
    copy.edit("config/tables/two_rows.yaml", "alpha: 0.5", "alpha: 0.6")
    copy.snakemake()
    assert len(copy.artifacts("runs")) == 5
    copy.edit("config/tables/two_rows.yaml", "alpha: 0.6", "alpha: 0.5")
    assert copy.planned() == {"build_table": 1, "build_page": 1}
    copy.snakemake()
    assert table.read_text(encoding="utf-8") == before


def test_a_comment_changes_nothing(copy: Checkout) -> None:
    copy.edit("src/avbalance/train.py", "import argparse", "# a comment\nimport argparse")
    assert copy.planned() == {}


def test_an_edit_in_one_method_reruns_its_rows_alone(copy: Checkout) -> None:
    file = copy.path / "src" / "avbalance" / "balancers" / "ogm_ge.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n\nEDITED = True\n", encoding="utf-8")
    assert copy.planned() == {"train_run": 1, "probe_run": 1, "build_table": 1, "build_page": 1}


def test_an_edit_in_shared_code_reruns_the_stage_unless_it_was_judged_harmless(copy: Checkout) -> None:
    file = copy.path / "src" / "avbalance" / "evaluate.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n\nEDITED = True\n", encoding="utf-8")
    everything = {"train_run": 4, "probe_run": 2, "build_table": 1, "draw_figure": 1, "build_page": 1}
    planned = copy.planned()
    assert {rule: planned[rule] for rule in everything} == everything
    status = copy.run("python", "-m", "avbalance.status", "scale=small", PYTHONPATH="src")
    assert "older code made results/*/small/two_rows" in status
    (line,) = {line.strip() for line in status.splitlines() if line.endswith("# avbalance.evaluate")}
    judged = copy.path / "config" / "equivalent_code.yaml"
    judged.write_text(f"{judged.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    assert copy.planned() == {}
    assert "all tables and figures are up to date" in copy.run(
        "python", "-m", "avbalance.status", "scale=small", PYTHONPATH="src"
    )


def test_changed_raw_data_rerun_everything_after_them(copy: Checkout) -> None:
    copy.edit("config/datasets/avmnist.yaml", "avmnist_miniature: {", "avmnist_miniature: {seed: 1, ")
    assert copy.planned() == {
        "download_raw": 1,
        "pack_clips": 1,
        "train_run": 4,
        "probe_run": 2,
        "build_table": 1,
        "draw_figure": 1,
        "build_page": 1,
        "audit_dataset": 1,
    }


def test_a_second_run_does_nothing(copy: Checkout) -> None:
    assert NOTHING in copy.snakemake()


def test_runs_that_are_cached_but_not_pulled_are_announced(clone: Checkout) -> None:
    clone.edit("config/tables/two_rows.yaml", "title: Two rows", "title: Both rows")
    assert "6 artifacts are cached, not pulled: dvc pull" in clone.snakemake("-n")
    clone.run("dvc", "pull", "-q")
    assert clone.planned() == {"build_table": 1, "build_page": 1}


def test_weights_that_are_missing_are_made_again_only_where_they_are_needed(pulled: Checkout) -> None:
    # A changed probe needs weights, which a clone lacks: data and runs come back with them.
    file = pulled.path / "src" / "avbalance" / "probe.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n\nEDITED = True\n", encoding="utf-8")
    planned = pulled.planned()
    assert planned["probe_run"] == planned["train_run"] == 2
    assert planned["download_raw"] == planned["pack_clips"] == 1


def test_a_table_is_written_in_four_formats_and_says_how_well_its_probes_are_solved(built: Checkout) -> None:
    folder = built.path / "results" / "tables" / "small"
    assert {file.suffix for file in folder.iterdir()} == {".md", ".csv", ".tex", ".json", ".key"}
    said = (folder / "two_rows.md").read_text(encoding="utf-8")
    found = re.search(r"no entry of the gradient exceeds (\S+)\.\s", said)
    assert found is not None
    assert 0 < float(found[1]) < 1e-5
