"""What is fresh is decided by recipes, never by times."""

import os
import random
import re
from pathlib import Path

from checkout import NOTHING, Checkout


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
    """Half a minute, for two workflows train and build."""
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
    copy.edit("src/avbalance/train.py", "import json", "# a comment\nimport json")
    assert copy.planned() == {}


def relocate(sources: Path, old: str, new: str) -> None:
    """Move `old`.py to `new`.py below avbalance, both dotted, and mend the imports of all modules."""
    target = sources / f"{new.replace('.', '/')}.py"
    target.parent.mkdir(exist_ok=True)
    (target.parent / "__init__.py").touch()
    (sources / f"{old}.py").rename(target)
    package, _, name = f"avbalance.{new}".rpartition(".")
    for file in sources.rglob("*.py"):
        lines = []
        for line in file.read_text(encoding="utf-8").splitlines():
            head, _, names = line.partition("from avbalance import ")
            if old in names.split(", "):
                others = ", ".join(each for each in names.split(", ") if each != old)
                lines += [f"{head}from avbalance import {others}"] * bool(others)
                lines.append(f"{head}from {package} import {name} as {old}")
            else:
                lines.append(line.replace(f"from avbalance.{old} import", f"from avbalance.{new} import"))
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")


def test_files_that_are_renamed_moved_or_split_change_nothing(copy: Checkout) -> None:
    sources = copy.path / "src" / "avbalance"
    relocate(sources, "metrics", "scores")
    relocate(sources, "evaluate", "inner.evaluation")
    model = (sources / "model.py").read_text(encoding="utf-8")
    start = model.index("def build_model(")
    imports = "\n".join(line for line in model.splitlines() if line.startswith(("from", "import")))
    (sources / "model.py").write_text(model[:start], encoding="utf-8")
    new = f"{imports}\nfrom avbalance.model import Model\n\n\n{model[start:]}"
    (sources / "construction.py").write_text(new, encoding="utf-8")
    both = "from avbalance.model import Model, build_model"
    for name in ("train", "probe", "training/pretrained"):
        split = "from avbalance.construction import build_model\nfrom avbalance.model import Model"
        copy.edit(f"src/avbalance/{name}.py", both, split)
    both = "import build_model\nfrom avbalance.model import Model, lay_out, start_stream"
    split = "import build_model, lay_out, start_stream\nfrom avbalance.model import Model"
    copy.edit("src/avbalance/train.py", both, split)
    assert copy.planned() == {}
    copy.edit("src/avbalance/scores.py", "import numpy as np\n", "import numpy as np\n\nLIMIT = 3\n")  # nothing uses it
    assert copy.planned() == {}


def test_an_edit_in_one_method_reruns_its_rows_alone(copy: Checkout) -> None:
    copy.edit("src/avbalance/balancers/ogm_ge.py", "correction=0", "correction=1")
    assert copy.planned() == {"train_run": 1, "probe_run": 1, "build_table": 1, "build_page": 1}


def test_an_edit_in_shared_code_reruns_the_stage(copy: Checkout) -> None:
    copy.edit("src/avbalance/evaluate.py", "@torch.no_grad()", "@torch.inference_mode()")
    everything = {"train_run": 4, "probe_run": 2, "build_table": 1, "draw_figure": 1, "build_page": 1}
    planned = copy.planned()
    assert {rule: planned[rule] for rule in everything} == everything
    status = copy.run("python", "-m", "avbalance.status", "scale=small", PYTHONPATH="src")
    assert "results/*/small/two_rows is older than:" in status
    assert "the code of step train" in status


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
    """Half a minute if it is the first to need the built project."""
    clone.edit("config/tables/two_rows.yaml", "title: Two rows", "title: Both rows")
    assert "6 artifacts are cached, not pulled: dvc pull" in clone.snakemake("-n")
    clone.run("dvc", "pull", "-q")
    assert clone.planned() == {"build_table": 1, "build_page": 1}


def test_weights_that_are_missing_are_made_again_only_where_they_are_needed(pulled: Checkout) -> None:
    # A changed probe needs weights, which a clone lacks: data and runs come back with them.
    pulled.edit("src/avbalance/probe.py", 'TRAINED = "trained"', 'TRAINED = "kept"')
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
