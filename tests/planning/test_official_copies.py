"""From archives in the official layouts to arrays, by the steps of scale `paper`."""

import json
from pathlib import Path

import pytest
import torch

import official
from avbalance import plan
from avbalance.data.packed import Split
from avbalance.data.prepared import read_description
from avbalance.data.voxceleb import LISTS
from avbalance.planning.artifacts import Plan
from avbalance.prepare import download, media, select_clips
from official import Size

SPLITS = ("train", "val", "test")
HEARD = ["audio", "visual"]


@pytest.mark.parametrize(
    ("dataset", "modalities", "size", "expected"),
    [
        ("ave", HEARD, Size(2, 4, 1, 1.0), (6, 2, 2)),
        ("epic_kitchens_verb", HEARD, Size(2, 6, 1, 1.5), (10, 2, 20)),  # ten windows of a test clip
        ("kinetics400", HEARD, Size(2, 7, 1, 1.2), (12, 2, 20)),  # the first clip is whole in the replacements alone
        ("ssw60", HEARD, Size(2, 6, 1, 1.0), (10, 2, 2)),
        ("ucf101", ["flow", "visual"], Size(2, 4, 1, 0.5), (4, 4, 2)),  # two groups of each class are val
        ("voxceleb", HEARD, Size(1, 26, 2), (25, 1, 8)),  # 2 % of 26 clips
    ],
)
def test_official_archives_become_arrays(
    planned: Plan,
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    dataset: str,
    modalities: list[str],
    size: Size,
    expected: tuple[int, int, int],
) -> None:
    if dataset == "voxceleb":
        request.getfixturevalue("mobilenet")  # skips the test where there are no weights
    own = tmp_path / "own"
    official.COPIES[dataset](mirror, own, size)
    monkeypatch.chdir(tmp_path)
    made = plan.make(Path(), {"scale": "paper", "datasets": [dataset], "mirror": str(own), "copy": "own"})
    prepared = {}
    for artifact in made.artifacts.values():
        if artifact.kind == "raw":
            download.download(artifact.recipe, Path(artifact.path), str(own))
        elif artifact.kind == "selections":
            select_clips.publish_selection(artifact.recipe, Path(artifact.path))
        elif (modality := artifact.settings.get("modality")) in modalities:
            prepared[modality] = Path(artifact.path)
            media.prepare(artifact.recipe, prepared[modality], 1)
    assert tuple(len(Split(prepared, split, torch.device("cpu")).clips) for split in SPLITS) == expected
    for folder in prepared.values():
        dropped = json.loads((folder / "report.json").read_text(encoding="utf-8"))["dropped"]
        assert all(entry["why"].endswith("does not exist") for entry in dropped)
    if dataset == "voxceleb":
        trials = read_description(prepared)["trials"]
        assert trials == {name: {"used": 6, "dropped": 0} for name in LISTS}  # all pairs of four clips
