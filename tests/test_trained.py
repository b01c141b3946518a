"""Finished runs that are loaded: their input and predictions for a test clip are those of evaluation."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import avbalance
from avbalance import plan, store, train
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import folders_of
from avbalance.errors import UserError
from avbalance.evaluate import predict
from avbalance.metrics import by_video
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.prepare import media, pack, select_clips
from avbalance.prepare.clip_lists import cut
from avbalance.prepare.download import download
from avbalance.trained import Media, Trained
from avbalance.types import Batch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/usage.md"
CPU = torch.device("cpu")
TABLE = """
title: One row of each kind of data
paper: ours
defaults: {encoder: resnet18, training: {epochs: 1}}
rows:
  windows: {dataset: kinetics400, modalities: [audio, visual]}
  files: {dataset: cremad}
  arrays: {dataset: mnist}
columns: [accuracy]
"""
ROWS = ["windows", "files", "arrays"]
FEW_CLIPS = {"num_train": 36, "num_test": 8}


def make(planned: Plan, artifact: Artifact) -> None:
    """Make an artifact and what it needs, as the steps do."""
    for other in planned.inputs_of(artifact):
        make(planned, other)
    recipe, out = artifact.recipe, Path(artifact.path)
    if out.exists():
        return
    match artifact.step:
        case "download":
            download(recipe, out)
        case "select_clips":
            select_clips.publish_selection(recipe, out)
        case "media":
            media.prepare(recipe, out, 1)
        case "pack":
            pack.pack(recipe, out)
        case "train":
            train.run(recipe, out, Path(artifact.weights), device="cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Artifact]]:
    """{row: its finished run}; the current folder is the one above their `results`."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config/tables/mine.yaml").write_text(TABLE, encoding="utf-8")
    for file in (folder / "config/datasets/kinetics400.yaml", folder / "config/datasets/cremad.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        (name,) = content["sources"]["generated"]["generator"]
        content["sources"]["generated"]["generator"] = {name: FEW_CLIPS}
        content["prepare"]["max_dropped"] = 0.5
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
    planned = plan.make(folder, {"scale": "miniature", "tables": "mine", "device": "cpu"})
    (table,) = (each for each in planned.artifacts.values() if each.kind == "tables")
    own = {role.partition(".")[0]: path for role, path in table.inputs.items() if role.endswith(".run")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for path in own.values():
            make(planned, planned.artifacts[path])
        stamp = Path(table.product)
        store.replace(stamp, json.dumps({**table.recipe, "files": {}}))
        yield {row: planned.artifacts[path] for row, path in own.items()}


def clips_of_test(run: Artifact) -> list[Any]:
    """What `prepare` takes for each packed clip of test, in order."""
    folders = folders_of(run.inputs)
    first = next(iter(folders.values()))
    recipe = store.read_manifest(first)["recipe"]
    if recipe["step"] == "pack":
        split = Split(folders, "test", CPU)
        return [{name: split.stored(name, np.array([k]))[0] for name in folders} for k in range(len(split))]
    selection, raw = Path(recipe["inputs"]["selection"]), Path(recipe["inputs"]["raw"])
    count = sum(1 for _ in (selection / "test.jsonl").open(encoding="ascii"))
    listed = [each.clip for stretch in cut(selection / "test.jsonl", count) for each in stretch.read()]
    kept = sorted(set(Split(folders, "test", CPU).videos.tolist()))  # type: ignore[union-attr]
    clips = [listed[place] for place in kept]
    names = ("visual", "audio", "landmarks", "start", "end")
    given = [{name: getattr(clip, name) for name in names if getattr(clip, name) is not None} for clip in clips]
    return [{name: raw / value if isinstance(value, str) else value for name, value in clip.items()} for clip in given]


@pytest.mark.parametrize("row", ROWS)
def test_its_input_and_predictions_are_bit_for_bit_those_of_evaluation(row: str, runs: dict[str, Artifact]) -> None:
    loaded = avbalance.load(runs[row].path)
    split = Split(folders_of(runs[row].inputs), "test", CPU)
    prepared = [loaded.prepare(clip) for clip in clips_of_test(runs[row])]
    inputs = {name: torch.cat([each[name] for each in prepared]) for name in prepared[0]}
    whole = split.batch(np.arange(len(split))).inputs
    assert {name: value.shape for name, value in inputs.items()} == {name: value.shape for name, value in whole.items()}
    assert all(torch.equal(inputs[name], whole[name]) for name in whole)
    # The same composition of batches gives the same bits.
    training = loaded.settings["training"]
    batches = [
        Batch({name: value[batch.index] for name, value in inputs.items()}, batch.labels, batch.index)
        for batch in Batches(split, training["batch_size"])
    ]
    logits = predict(loaded.model, batches, getattr(torch, training["precision"]))["logits"]
    stored = np.load(f"{runs[row].path}/predictions.npz")["test_logits"]
    np.testing.assert_array_equal(logits.astype(stored.dtype), stored)


@pytest.mark.parametrize("row", ROWS)
def test_the_probabilities_of_a_clip_are_those_of_its_stored_logits(row: str, runs: dict[str, Artifact]) -> None:
    loaded = avbalance.load(runs[row].path)
    stored = np.load(f"{runs[row].path}/predictions.npz")
    videos = stored.get("test_video")
    expected, _ = by_video(stored["test_logits"], stored["test_label"], videos)
    for clip, probabilities in zip(clips_of_test(runs[row])[:4], expected, strict=False):
        predicted = loaded.predict(clip)
        assert list(predicted) == loaded.classes
        np.testing.assert_allclose(list(predicted.values()), probabilities, atol=5e-4)  # logits are stored as float16
        assert sum(predicted.values()) == pytest.approx(1)


def test_a_file_with_both_is_enough(runs: dict[str, Artifact]) -> None:
    loaded = avbalance.load(runs["windows"].path)
    (clip, *_) = clips_of_test(runs["windows"])
    assert loaded.predict(str(clip["visual"])) == loaded.predict(clip)
    assert loaded.prepare(clip["visual"])["visual"].shape[0] == 3  # windows


def test_a_file_that_has_changed_is_read_again(runs: dict[str, Artifact], tmp_path: Path) -> None:
    loaded = avbalance.load(runs["windows"].path)
    predicted = []
    for clip in clips_of_test(runs["windows"])[:2]:
        shutil.copy(clip["visual"], tmp_path / "clip.mp4")
        predicted.append(loaded.predict(tmp_path / "clip.mp4") == loaded.predict(clip))
    assert predicted == [True, True]


def test_weights_alone_are_enough_in_any_folder(runs: dict[str, Artifact], tmp_path: Path) -> None:
    here = avbalance.load(runs["windows"].path)
    (clip, *_) = clips_of_test(runs["windows"])
    shutil.copytree(runs["windows"].weights, tmp_path / "given")
    code = "import avbalance, sys; print(sorted(avbalance.load(sys.argv[1]).predict(sys.argv[2]).items()))"
    command = [sys.executable, "-c", code, str(tmp_path / "given"), str(Path(clip["visual"]).absolute())]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, encoding="utf-8", check=False)
    assert done.stdout.strip() == str(sorted(here.predict(clip).items())), done.stderr
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_row_of_a_table_is_found_by_name_and_seed(runs: dict[str, Artifact]) -> None:
    by_row = avbalance.load("results/tables/miniature/mine", row="arrays", seed=0)
    assert by_row.settings == avbalance.load(runs["arrays"].weights).settings
    with pytest.raises(UserError, match=r"mine: has no row 'array' with seed 0; rows and seeds: .*arrays\.0"):
        avbalance.load("results/tables/miniature/mine", row="array")
    with pytest.raises(UserError, match="yours: no such table has been built"):
        avbalance.load("results/tables/miniature/yours", row="arrays")


def test_the_example_of_the_documents_does_as_it_stands(
    runs: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    named = re.search(r'load\("(\S+)", row="(\w+)", seed=(\d)\)', block)
    assert named is not None
    table, row, seed = named.groups()
    store.replace(Path(f"{table}.0.key"), json.dumps({"inputs": {f"{row}.{seed}.run": runs["windows"].path}}))
    (clip, *_) = clips_of_test(runs["windows"])
    shutil.copy(clip["visual"], "clip.mp4")
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    assert capsys.readouterr().out == f"{avbalance.load(runs['windows'].path).predict(clip)}\n"
    assert names["output"].logits.shape == (3, 4)  # windows, classes


def test_a_part_of_a_file_is_given_in_seconds(runs: dict[str, Artifact]) -> None:
    loaded = avbalance.load(runs["windows"].path)
    (clip, *_) = clips_of_test(runs["windows"])
    whole = loaded.prepare({"visual": clip["visual"], "audio": clip["visual"]})["audio"]
    part = loaded.prepare({"visual": clip["visual"], "audio": clip["visual"], "start": 0.0, "end": 0.5})["audio"]
    assert torch.equal(part[0], part[2])  # no longer than a window of 0.5 s
    assert torch.equal(part[0], whole[0])
    assert not torch.equal(whole[0], whole[2])


def test_persons_are_verified_by_embeddings(runs: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = avbalance.load(runs["windows"].path)
    monkeypatch.setattr(loaded, "task", "verification")
    with pytest.raises(UserError, match="this run verifies persons"):
        loaded.predict(__file__)


@pytest.mark.parametrize(
    ("row", "given", "message"),
    [
        ("windows", "absent.mp4", r"absent\.mp4: does not exist"),
        ("windows", __file__, r"test_trained\.py: "),
        ("files", {"visual": __file__}, r"media: no 'audio', from which 'audio' is made; found visual"),
        (
            "arrays",
            {"visual": np.zeros((28, 28))},
            r"media: 'visual' must be an array of shape \[1, 28, 28\], found \[28, 28\]",
        ),
        ("arrays", {"audio": np.zeros(3)}, r"media: no 'visual'; give \{modality: array\} with visual"),
    ],
)
def test_a_clip_that_cannot_be_used_is_one_line(
    row: str, given: Media, message: str, runs: dict[str, Artifact]
) -> None:
    loaded: Trained = avbalance.load(runs[row].path)
    with pytest.raises(UserError, match=message) as error:
        loaded.prepare(given)
    assert "\n" not in str(error.value)


def test_a_run_without_weights_is_one_line(runs: dict[str, Artifact], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights/none\.123: does not exist; get it with 'dvc pull'"):
        avbalance.load("results/runs/none.123")
    with store.publish(tmp_path / "results/weights/trial.1", {"step": "train"}):
        pass
    with pytest.raises(UserError, match="holds no weights of a run that was trained to its end"):
        avbalance.load(tmp_path / "results/runs/trial.1")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, avbalance; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
