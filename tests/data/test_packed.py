import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import resized_crop

from avbalance import registry
from avbalance.augmentations import REGISTRY
from avbalance.augmentations.random_resized_crop import RandomResizedCrop
from avbalance.data import packed
from avbalance.data.packed import Batches, MappedArray, Split
from avbalance.data.prepared import files_of
from avbalance.errors import UserError

CPU = torch.device("cpu")


def make_split(folder: Path, num_clips: int) -> Split:
    """Clip i has the label i, the image [[i, i + 0.5]] and the sound [-i]."""
    places = np.arange(num_clips)
    np.save(folder / "train_label.npy", places)
    np.save(folder / "train_clip.npy", places)
    np.save(folder / "train_visual.npy", np.stack([places, places + 0.5], axis=1)[:, None].astype(np.float16))
    np.save(folder / "train_audio.npy", -places[:, None].astype(np.float16))
    shapes = {"visual": {"shape": [1, 2]}, "audio": {"shape": [1]}}
    (folder / "dataset.json").write_text(json.dumps({"num_classes": num_clips, "modalities": shapes}), encoding="utf-8")
    return Split(dict.fromkeys(["visual", "audio"], folder), "train", CPU)


@pytest.mark.parametrize(
    ("num_clips", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (10, 4, [4, 3, 3]),  # 4 + 4 + 2 would leave a small one
        (9, 8, [5, 4]),  # 8 + 1 would leave a single clip
        (7, 7, [7]),
        (3, 64, [3]),
        (5, 1, [1, 1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("seed", [None, (0, 3)])
def test_a_pass_has_every_clip_once_in_batches_of_nearly_equal_size(
    tmp_path: Path, num_clips: int, batch_size: int, sizes: list[int], seed: tuple[int, ...] | None
) -> None:
    batches = Batches(make_split(tmp_path, num_clips), batch_size, seed)
    passed = list(batches)
    assert len(batches) == len(sizes)
    assert [len(batch.labels) for batch in passed] == sizes
    assert sorted(torch.cat([batch.index for batch in passed]).tolist()) == list(range(num_clips))


def order(split: Split, seed: tuple[int, ...] | None) -> list[int]:
    return torch.cat([batch.index for batch in Batches(split, 8, seed)]).tolist()


def test_without_a_seed_the_order_is_that_of_the_disk(tmp_path: Path) -> None:
    assert order(make_split(tmp_path, 30), None) == list(range(30))


def test_the_order_is_a_function_of_seed_and_epoch(tmp_path: Path) -> None:
    split = make_split(tmp_path, 30)
    orders = {seed: order(split, seed) for seed in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert len({tuple(places) for places in orders.values()}) == 4
    np.random.default_rng(9).random()
    torch.manual_seed(9)
    assert {seed: order(split, seed) for seed in orders} == orders


def test_every_pass_of_shuffled_batches_is_shuffled_anew_and_the_same_again(tmp_path: Path) -> None:
    split = make_split(tmp_path, 30)
    batches, again = Batches(split, 8, (0, 0)), Batches(split, 8, (0, 0))
    first, second = (np.concatenate([batch.index for batch in batches]) for _ in range(2))
    assert not np.array_equal(first, second)
    assert sorted(first) == sorted(second) == list(range(30))
    for expected in (first, second):
        np.testing.assert_array_equal(np.concatenate([batch.index for batch in again]), expected)


def test_batches_of_a_subset_hold_its_clips_alone(tmp_path: Path) -> None:
    batches = Batches(make_split(tmp_path, 30), 4, subset=np.array([3, 7, 8, 20, 29]))
    assert [batch.index.tolist() for batch in batches] == [[3, 7, 8], [20, 29]]


def test_batches_of_places_keep_their_order_and_repeat_clips(tmp_path: Path) -> None:
    places = torch.tensor([5, 2, 5, 0, 5])
    batches = Batches(make_split(tmp_path, 8), 2, (0, 1)).of(places)
    assert len(batches) == 3
    for _ in range(2):
        seen = list(batches)
        assert [len(batch.labels) for batch in seen] == [2, 2, 1]
        assert torch.equal(torch.cat([batch.index for batch in seen]), places)


@pytest.mark.parametrize("seed", [None, (0, 0)])
def test_a_batch_holds_the_clips_of_its_index_as_float32(tmp_path: Path, seed: tuple[int, ...] | None) -> None:
    for batch in Batches(make_split(tmp_path, 30), 8, seed):
        places = batch.index.float()
        assert set(batch.inputs) == {"visual", "audio"}
        assert batch.inputs["visual"].dtype == batch.inputs["audio"].dtype == torch.float32
        assert torch.equal(batch.labels, batch.index)
        assert torch.equal(batch.inputs["visual"], torch.stack([places, places + 0.5], dim=1).unsqueeze(1))
        assert torch.equal(batch.inputs["audio"], -places.unsqueeze(1))


def test_a_split_holds_the_modalities_asked_for_alone(prepared: Path) -> None:
    split = Split({"audio": prepared}, "val", CPU)
    assert len(split) == 21
    assert list(split.batch(np.arange(2)).inputs) == ["audio"]


def test_clips_are_those_that_all_modalities_have_although_a_batch_has_one_of_them(tmp_path: Path) -> None:
    folders = {}
    for name, numbers in (("audio", [0, 1, 3, 4]), ("visual", [1, 2, 4]), ("flow", [1, 4, 5])):
        folder = folders[name] = tmp_path / name
        folder.mkdir()
        np.save(folder / "test_clip.npy", np.array(numbers))
        np.save(folder / "test_label.npy", 10 * np.array(numbers))
        np.save(folder / "test_video.npy", np.array(numbers) // 2)
        np.save(folder / f"test_{name}.npy", np.array(numbers, np.float16)[:, None])
        described = {"num_classes": 60, "modalities": {name: {"shape": [1]}}}
        (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    split = Split(folders, "test", CPU, ["visual"])
    assert split.clips.tolist() == [1, 4]
    assert split.labels.tolist() == [10, 40]
    assert split.videos is not None
    assert split.videos.tolist() == [0, 2]
    batch = split.batch(np.array([1, 0]))
    assert {name: values.tolist() for name, values in batch.inputs.items()} == {"visual": [[4], [1]]}
    assert split.stored("visual", np.array([0, 1])).tolist() == [[1], [4]]
    np.save(folders["flow"] / "test_clip.npy", np.array([0, 3, 5]))
    with pytest.raises(UserError, match="no clip of test has all of audio, visual, flow"):
        Split(folders, "test", CPU)


def test_a_mapped_array_is_the_file_whatever_its_type_and_shape(tmp_path: Path) -> None:
    for array in (np.arange(24.0).reshape(4, 3, 2), np.arange(5), np.ones((2, 1, 1, 7), np.float16)):
        np.save(tmp_path / "array.npy", array)
        (mapped,) = MappedArray([tmp_path / "array.npy"]).shards
        assert mapped.dtype == array.dtype
        np.testing.assert_array_equal(mapped, array)


def test_values_stay_right_and_changes_of_a_batch_stay_out_of_the_file_when_pages_are_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(0).normal(size=(64, 4096))
    np.save(tmp_path / "array.npy", array)
    monkeypatch.setattr(packed, "RELEASE_BYTES", 3 * array[0].nbytes)  # after every fourth row
    mapped = MappedArray([tmp_path / "array.npy"])
    for _ in range(2):
        for place in np.random.default_rng(1).permutation(64):
            rows = mapped.rows(np.array([place]))
            np.testing.assert_array_equal(rows, array[[place]])
            rows[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), array)


def test_shards_are_one_array_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = np.arange(70).reshape(10, 7)
    for number, (start, end) in enumerate(((0, 4), (4, 5), (5, 10))):
        np.save(tmp_path / f"train_flow-{number:04d}.npy", rows[start:end])
    mapped = MappedArray(files_of(tmp_path, "train", "flow"))
    index = np.array([9, 0, 4, 3, 5, 4])
    np.testing.assert_array_equal(mapped.rows(index), rows[index])
    assert mapped.nbytes == rows.nbytes


def test_what_the_description_standardises_is_standardised_by_channel(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    np.save(tmp_path / "val_visual.npy", pixels)
    np.save(tmp_path / "val_label.npy", np.array([[1, 0], [1, 1]], dtype=np.uint8))
    np.save(tmp_path / "val_clip.npy", np.arange(2))
    described = {"shape": [3, 2, 2], "mean": [0.0, 1.0, 2.0], "std": [1.0, 2.0, 4.0]}
    (tmp_path / "dataset.json").write_text(
        json.dumps({"num_classes": 2, "modalities": {"visual": described}}), encoding="utf-8"
    )
    batch = Split({"visual": tmp_path}, "val", CPU).batch(np.array([1]))
    # Clip 1 holds 12 to 23; of its last channel, 20 to 23, the first value is (20 - 2) / 4.
    assert batch.inputs["visual"][0, :, 0, 0].tolist() == [12.0, (16 - 1) / 2, (20 - 2) / 4]
    assert batch.labels.tolist() == [[1.0, 1.0]]
    assert batch.labels.dtype == torch.float32


def picture_split(folder: Path) -> Split:
    """Eight clips of 20 x 30 pixels, of which 10 x 10 are seen; the channels hold a pixel's row and its column."""
    rows, columns = np.mgrid[:20, :30].astype(np.uint8)
    array = np.broadcast_to(np.stack([rows, columns])[:, None], (8, 2, 3, 20, 30))
    described = {"shape": [2, 3, 10, 10], "mean": [0.0, 0.0], "std": [1.0, 1.0]}
    modalities = {}
    for name, vectors in (("visual", False), ("flow", True)):
        np.save(folder / f"train_{name}.npy", array)
        modalities[name] = {**described, "pictures": {"whole": False, "vectors": vectors}}
    np.save(folder / "train_label.npy", np.arange(8))
    np.save(folder / "train_clip.npy", np.arange(8))
    (folder / "dataset.json").write_text(json.dumps({"num_classes": 8, "modalities": modalities}), encoding="utf-8")
    return Split(dict.fromkeys(["visual", "flow"], folder), "train", CPU)


def inputs_by_clip(batches: Batches) -> dict[str, dict[int, torch.Tensor]]:
    found: dict[str, dict[int, torch.Tensor]] = {"visual": {}, "flow": {}}
    for batch in batches:
        for name, inputs in batch.inputs.items():
            found[name] |= dict(zip(batch.index.tolist(), inputs, strict=True))
    return found


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_augmented_clips_do_not_depend_on_their_batch_and_change_from_pass_to_pass(tmp_path: Path, name: str) -> None:
    split, augmentation = picture_split(tmp_path), registry.load("augmentation", name)
    whole, small = (Batches(split, size, (1, 2), augmentation=augmentation) for size in (8, 3))
    subset = Batches(split, 2, (1, 2), np.array([6, 1]), augmentation)
    first = inputs_by_clip(whole)
    for other in (inputs_by_clip(small), inputs_by_clip(subset)):
        for modality, clips in other.items():
            for clip, inputs in clips.items():
                assert torch.equal(inputs, first[modality][clip])
    second = inputs_by_clip(whole)
    assert not any(torch.equal(second["visual"][clip], first["visual"][clip]) for clip in range(8))


def test_frames_and_flow_of_a_clip_share_a_crop_and_only_training_is_cut_at_random(tmp_path: Path) -> None:
    split, augmentation = picture_split(tmp_path), RandomResizedCrop()
    found = inputs_by_clip(Batches(split, 4, (0, 0), augmentation=augmentation))
    boxes = augmentation((0, 0), np.arange(8), (20, 30), (10, 10))
    assert 0 < boxes.mirrored.sum() < 8
    stored = torch.from_numpy(np.load(tmp_path / "train_visual.npy")[0]).float()
    for clip, (place, mirrored) in enumerate(zip(boxes.places.tolist(), boxes.mirrored, strict=True)):
        expected = resized_crop(stored, *place, [10, 10], antialias=True)
        expected = expected.flip(-1) if mirrored else expected
        torch.testing.assert_close(found["visual"][clip], expected, atol=1e-4, rtol=0)
        scale = torch.tensor([10 / place[3] * (-1 if mirrored else 1), 10 / place[2]]).view(2, 1, 1, 1)
        torch.testing.assert_close(found["flow"][clip], expected * scale, atol=1e-3, rtol=0)
    for batch in Batches(split, 4):  # as validation, test and `plain` are read
        assert torch.equal(batch.inputs["visual"], stored[..., 5:15, 10:20].expand(4, -1, -1, -1, -1))
        assert torch.equal(batch.inputs["flow"], batch.inputs["visual"])


def test_pictures_stored_as_they_are_seen_come_bit_for_bit_as_arrays_do(tmp_path: Path) -> None:
    picture_split(tmp_path)
    described = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    for modality in described["modalities"].values():
        modality["shape"][-2:] = [20, 30]
    (tmp_path / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    seen = Split(dict.fromkeys(["visual", "flow"], tmp_path), "train", CPU).batch(np.array([0]))
    for name, inputs in seen.inputs.items():
        assert torch.equal(inputs[0], torch.from_numpy(np.load(tmp_path / f"train_{name}.npy")[0]).float())


READ_ALL = """
import mmap, sys
from pathlib import Path
import numpy as np
from avbalance import registry
from avbalance.augmentations import REGISTRY
from avbalance.augmentations.random_resized_crop import RandomResizedCrop
from avbalance.data import packed
from avbalance.errors import UserError

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

packed.RELEASE_BYTES = int(sys.argv[2])
mapped = packed.MappedArray([Path(sys.argv[1])])
order = np.random.default_rng(0).permutation(len(mapped.shards[0]))
before, most = resident(), 0
for index in np.array_split(order, 100):
    mapped.rows(index)
    most = max(most, resident() - before)
print(most // 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc/self/statm here")
@pytest.mark.parametrize(
    ("release", "least", "most"),
    [(16 * 2**20, 0, 80), (2**40, 180, 400)],
    ids=["handed back", "kept, as a check of the measurement"],
)
def test_resident_memory_does_not_grow_with_the_file(tmp_path: Path, release: int, least: int, most: int) -> None:
    np.lib.format.open_memmap(tmp_path / "zeros.npy", "w+", np.float16, (200, 2**19)).flush()  # 200 MiB, sparse
    command = [sys.executable, "-c", READ_ALL, str(tmp_path / "zeros.npy"), str(release)]
    mebibytes = int(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)
    assert least <= mebibytes <= most
