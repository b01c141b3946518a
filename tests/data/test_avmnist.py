"""AV-MNIST, packed from the generated miniature and, where AVBALANCE_MIRROR is set, from the official files."""

import csv
import gzip
import hashlib
import json
import shutil
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.io import wavfile
from sklearn.decomposition import PCA

from avbalance import store
from avbalance.data.avmnist import AVMNIST
from avbalance.data.fsdd import read_recordings
from avbalance.data.lists import read_checksums
from avbalance.data.miniatures.avmnist import AVMNISTMiniature, write_wav
from avbalance.data.prepared import read_description
from avbalance.errors import UserError
from avbalance.prepare.download import download
from avbalance.prepare.pack import write_arrays
from folders import both

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    AVMNISTMiniature(num_speakers=2).generate(folder)
    return folder


@pytest.fixture
def own_raw(raw: Path, tmp_path: Path) -> Path:
    """A raw folder that a test may damage."""
    return Path(shutil.copytree(raw, tmp_path / "raw"))


def packed(raw: Path, out: Path, **options: object) -> dict[str, NDArray[Any]]:
    out.mkdir()
    reader = AVMNIST(**({"num_train": 600, "num_test": 200} | options))  # type: ignore[arg-type]
    settings = {"dataset": "avmnist", "num_classes": 10}
    write_arrays(reader.read_arrays(raw), out, settings, raw, out.with_name(f"{out.name}-report.json"))
    return {path.stem: np.load(path) for path in out.glob("*.npy")}


def clips(out: Path) -> list[dict[str, str]]:
    with (out / "clips.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}


def test_shapes_types_and_counts_are_as_described(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed(raw, out)
    described = read_description(both(out))
    assert described["splits"] == {"train": 480, "val": 120, "test": 200}  # 600 x 0.2 = 120
    assert described["modalities"] == {"audio": {"shape": [8000]}, "visual": {"shape": [1, 28, 28]}}
    for split, count in described["splits"].items():
        for modality, entry in described["modalities"].items():
            array = np.load(out / f"{split}_{modality}.npy")
            assert array.shape == (count, *entry["shape"])
            assert array.dtype == np.float16
            assert array.flags.c_contiguous
        labels = np.load(out / f"{split}_label.npy")
        assert labels.shape == (count,)
        assert labels.dtype == np.int64


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(raw: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        packed(raw, tmp_path / name, seed=seed)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    same = {"report.json", "dataset.json", *(f"{split}_clip.npy" for split in SPLITS)}
    assert all(first[name] != other[name] for name in first.keys() - same)


def test_no_image_and_no_recording_is_in_two_splits(raw: Path, tmp_path: Path) -> None:
    packed(raw, tmp_path / "out", num_train=1437, num_test=360)
    rows = clips(tmp_path / "out")
    for source in (("images", "image"), ("recording",)):
        members = {split: {tuple(row[c] for c in source) for row in rows if row["split"] == split} for split in SPLITS}
        assert not members["train"] & members["val"]
        assert not members["train"] & members["test"]
        assert not members["val"] & members["test"]
    images = Counter((row["images"], row["image"]) for row in rows)
    assert set(images.values()) == {1}
    assert {row["images"] for row in rows if row["split"] == "test"} == {"mnist/t10k-images-idx3-ubyte.gz"}


def test_recordings_are_divided_by_take_and_within_each_voice(raw: Path, tmp_path: Path) -> None:
    packed(raw, tmp_path / "out", num_train=1437, num_test=360)
    used: dict[str, set[str]] = {split: set() for split in SPLITS}
    for row in clips(tmp_path / "out"):
        used[row["split"]].add(Path(row["recording"]).stem)
    for digit in range(10):
        for speaker in ("andy", "annie"):
            takes = {
                split: {int(stem.split("_")[2]) for stem in used[split] if stem.startswith(f"{digit}_{speaker}_")}
                for split in SPLITS
            }
            assert takes["test"] == {0, 1, 2, 3, 4}
            assert takes["train"] | takes["val"] == set(range(5, 15))
            assert len(takes["val"]) == 2  # 10 x 0.2


def test_recordings_of_a_label_are_used_equally_often(raw: Path, tmp_path: Path) -> None:
    packed(raw, tmp_path / "out")
    used = Counter((row["split"], row["label"], row["recording"]) for row in clips(tmp_path / "out"))
    for split in SPLITS:
        for label in map(str, range(10)):
            counts = [count for (s, l, _), count in used.items() if (s, l) == (split, label)]
            assert max(counts) - min(counts) <= 1


def test_labels_agree_with_both_sources_and_clean_clips_with_their_bytes(raw: Path, tmp_path: Path) -> None:
    arrays = packed(raw, tmp_path / "out", image_noise=0.0, audio_snr_db=None)
    idx = {
        part: gzip.decompress((raw / f"mnist/{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        for part in ("train", "t10k")
    }
    pixels = {
        part: gzip.decompress((raw / f"mnist/{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        for part in ("train", "t10k")
    }
    rows = clips(tmp_path / "out")
    assert len(rows) == 800
    for row in rows:
        split, index, image = row["split"], int(row["index"]), int(row["image"])
        part = row["images"].removeprefix("mnist/").partition("-")[0]
        assert arrays[f"{split}_label"][index] == int(row["label"]) == idx[part][image]
        assert Path(row["recording"]).name.startswith(f"{row['label']}_")
        shown = np.frombuffer(pixels[part][image * 784 : (image + 1) * 784], np.uint8) / 255
        np.testing.assert_allclose(arrays[f"{split}_visual"][index].ravel(), shown, atol=5e-4)
        with wave.open(str(raw / row["recording"])) as file:
            said = np.frombuffer(file.readframes(8000), "<i2").astype(float)
        said = np.pad(said, (0, 8000 - len(said)))
        said /= np.sqrt((said**2).sum() / 8000)
        np.testing.assert_allclose(arrays[f"{split}_audio"][index], said, atol=0.01)


def test_every_label_has_its_fair_share_of_val(raw: Path, tmp_path: Path) -> None:
    arrays = packed(raw, tmp_path / "out")
    val, train = np.bincount(arrays["val_label"]), np.bincount(arrays["train_label"])
    assert np.abs(val - 0.2 * (val + train)).max() <= 1


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_the_packed_audio_has_the_stated_signal_to_noise_ratio(raw: Path, tmp_path: Path, snr_db: float) -> None:
    clean = packed(raw, tmp_path / "clean", audio_snr_db=None)["train_audio"].astype(float)
    noise = packed(raw, tmp_path / "noisy", audio_snr_db=snr_db)["train_audio"].astype(float) - clean
    measured = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
    assert measured == pytest.approx(snr_db, abs=0.02)
    # White: neighbouring samples do not correlate; the estimate's deviation is 1 / sqrt(480 x 8000) = 0.0005.
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1]) / np.mean(noise**2)) < 0.003
    # Fresh for every clip, also where a recording is used again.
    correlations = np.corrcoef(noise[:50])
    assert np.abs(correlations - np.eye(50)).max() < 0.06


def test_image_noise_has_the_stated_deviation_and_is_not_clipped(raw: Path, tmp_path: Path) -> None:
    clean = packed(raw, tmp_path / "clean", image_noise=0.0)["train_visual"].astype(float)
    noisy = packed(raw, tmp_path / "noisy", image_noise=0.5)["train_visual"].astype(float)
    # The deviation's own deviation is 0.5 / sqrt(2 x 480 x 784) = 0.0006.
    assert np.std(noisy - clean) == pytest.approx(0.5, abs=0.003)
    assert noisy.min() < -1
    assert noisy.max() > 2


def test_a_change_of_one_noise_leaves_the_pairing_and_the_other_modality_alone(raw: Path, tmp_path: Path) -> None:
    packed(raw, tmp_path / "a")
    packed(raw, tmp_path / "b", image_noise=0.1, num_test=150)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    same = {name for name in first if first[name] == second[name]}
    assert same >= {"train_audio.npy", "val_audio.npy", "train_label.npy", "val_label.npy", "report.json"}
    assert first["train_visual.npy"] != second["train_visual.npy"]


def test_no_two_noises_come_from_one_random_stream(raw: Path, tmp_path: Path) -> None:
    clean = packed(raw, tmp_path / "clean", image_noise=0.0, audio_snr_db=None)
    noisy = packed(raw, tmp_path / "noisy", image_noise=1.0, audio_snr_db=0.0)
    noises = [
        (noisy[name].astype(float) - clean[name].astype(float)).ravel()[:90_000]
        for name in clean
        if name.endswith(("_audio", "_visual"))
    ]
    assert len(noises) == 6  # 3 splits x 2 modalities; one standard error is 1 / sqrt(90,000) = 0.0033
    assert np.abs(np.corrcoef(noises) - np.eye(6)).max() < 0.02


def test_energy_is_removed_as_by_an_independent_pca_of_train(raw: Path, tmp_path: Path) -> None:
    clean = packed(raw, tmp_path / "clean", image_noise=0.0)
    kept = packed(raw, tmp_path / "kept", image_noise=0.0, pca_energy_removed=0.5)
    reference = PCA(svd_solver="full").fit(clean["train_visual"].reshape(480, -1).astype(float))
    num_kept = int((np.cumsum(reference.explained_variance_ratio_) > 0.5).argmax())
    assert num_kept > 2
    reference.components_, reference.n_components_ = reference.components_[:num_kept], num_kept
    for split in SPLITS:
        images = clean[f"{split}_visual"].reshape(-1, 784).astype(float)
        expected = (images - reference.mean_) @ reference.components_.T @ reference.components_ + reference.mean_
        np.testing.assert_allclose(kept[f"{split}_visual"].reshape(-1, 784), expected, atol=2e-3)
    train = kept["train_visual"].astype(float)
    share = train.var(axis=0).sum() / clean["train_visual"].astype(float).var(axis=0).sum()
    assert 0.4 < share <= 0.5


def test_removing_too_much_energy_says_how_much_is_allowed(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leaves nothing: the first component alone has 0\.1\d of the variance"):
        packed(raw, tmp_path / "out", pca_energy_removed=0.99)


def test_spectrograms_are_those_of_the_packed_waves(raw: Path, tmp_path: Path) -> None:
    waves = packed(raw, tmp_path / "waves")["test_audio"].astype(float)
    arrays = packed(raw, tmp_path / "spectrograms", audio="spectrogram")
    shown = arrays["test_audio"].astype(float)
    assert shown.shape == (200, 1, 112, 112)
    np.testing.assert_allclose(shown.mean(axis=(1, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(shown.std(axis=(1, 2, 3)), 1, atol=1e-3)
    # Window 50 of clip 3, worked out directly: samples 3500 to 3721 under a Hann window.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(222) / 222)
    power = np.abs(np.fft.rfft(waves[3, 3500:3722] * hann)) ** 2
    assert np.corrcoef(np.log(power + 1e-7), shown[3, 0, :, 50])[0, 1] > 0.999


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    match how:
        case "truncated: ":
            path.write_bytes(data[: len(data) // 2])
        case "no samples":
            write_wav(path, samples[:0])
        case "silent":
            write_wav(path, samples * 0)
        case "16000 Hz instead of 8000":
            path.write_bytes(data[:24] + (16000).to_bytes(4, "little") + (32000).to_bytes(4, "little") + data[32:])
        case "2 channels of 16 bit":
            path.write_bytes(
                data[:22] + (2).to_bytes(2, "little") + data[24:32] + (4).to_bytes(2, "little") + data[34:]
            )
        case "is not a PCM wav: unknown format: 3":  # 32-bit floats, among them a NaN
            wavfile.write(path, 8000, np.array([0.1, np.nan, 0.2] * 1000, dtype=np.float32))
        case "is not a PCM wav: damaged header":
            path.write_bytes(data[:4])
        case "is not a PCM wav: file does not start with RIFF id":
            path.write_bytes(b"<html>404</html>" * 10)


BROKEN = [
    "truncated: ",
    "no samples",
    "silent",
    "16000 Hz instead of 8000",
    "2 channels of 16 bit",
    "is not a PCM wav: unknown format: 3",
    "is not a PCM wav: damaged header",
    "is not a PCM wav: file does not start with RIFF id",
]


@pytest.mark.parametrize("why", BROKEN)
def test_an_unusable_recording_is_reported_dropped_and_never_used(own_raw: Path, tmp_path: Path, why: str) -> None:
    name = "fsdd/recordings/3_annie_7.wav"
    damage(own_raw / name, why)
    arrays = packed(own_raw, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert [entry["file"] for entry in report["dropped"]] == [name]
    assert report["dropped"][0]["why"].startswith(why)
    assert name not in {row["recording"] for row in clips(tmp_path / "out")}
    assert np.isfinite(arrays["train_audio"]).all()


def test_a_recording_longer_than_a_second_is_cut_and_reported(own_raw: Path, tmp_path: Path) -> None:
    name = "fsdd/recordings/3_annie_7.wav"
    write_wav(own_raw / name, (1000 * np.sin(np.arange(18000))).astype(np.int16))
    packed(own_raw, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert report == {"dropped": [], "repaired": [{"file": name, "why": "cut from 2.25 s to 1 s"}]}


def test_too_many_unusable_recordings_are_an_error_with_a_full_report(own_raw: Path, tmp_path: Path) -> None:
    for take in range(4):  # 4 of 300 are more than 1 %
        damage(own_raw / f"fsdd/recordings/{take}_annie_7.wav", "silent")
    with pytest.raises(UserError, match=r"^4 of 300 files cannot be used, .*1\.0%.*0_annie_7\.wav: silent"):
        packed(own_raw, tmp_path / "out")
    assert len(json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))["dropped"]) == 4


def test_a_wav_with_a_foreign_name_is_reported(own_raw: Path) -> None:
    shutil.copy(own_raw / "fsdd/recordings/3_annie_7.wav", own_raw / "fsdd/recordings/three.wav")
    assert read_recordings(own_raw / "fsdd/recordings").dropped == [
        {"file": "fsdd/recordings/three.wav", "why": "is not named digit_speaker_take.wav"}
    ]


@pytest.mark.parametrize(
    ("num_bytes", "message"),
    [(1000, "damaged"), (None, "truncated"), (-5, "is not an idx file"), (0, "damaged|is not an idx file")],
)
def test_a_broken_image_file_is_an_error_that_names_it(
    own_raw: Path, tmp_path: Path, num_bytes: int | None, message: str
) -> None:
    path = own_raw / "mnist/train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    broken = {1000: path.read_bytes()[:1000], None: gzip.compress(whole[:-5]), -5: gzip.compress(whole[5:]), 0: b""}
    path.write_bytes(broken[num_bytes])
    with pytest.raises(UserError, match=rf"train-images-idx3-ubyte\.gz: .*({message})"):
        packed(own_raw, tmp_path / "out")


def test_images_and_labels_of_different_number_are_an_error(own_raw: Path, tmp_path: Path) -> None:
    shutil.copy(own_raw / "mnist/t10k-labels-idx1-ubyte.gz", own_raw / "mnist/train-labels-idx1-ubyte.gz")
    with pytest.raises(UserError, match=r"images of shape \(1437, 28, 28\) for 360 labels"):
        packed(own_raw, tmp_path / "out")


def test_more_clips_than_images_says_what_is_allowed(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"num_train is 1438, but .* only 1437 images; set it to 1437 or less"):
        packed(raw, tmp_path / "a", num_train=1438)
    with pytest.raises(UserError, match=r"num_test is 361, but .* only 360 images"):
        packed(raw, tmp_path / "b", num_test=361)


@pytest.mark.parametrize("option", [{"val_fraction": 0.0}, {"val_fraction": 1.0}, {"image_noise": -1.0}, {"seed": -1}])
def test_an_impossible_option_is_an_error_that_names_it(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"^avmnist\.{next(iter(option))} must be "):
        AVMNIST(**option)


@pytest.mark.parametrize("name", ["avmnist", "avmnist_spectrogram"])
def test_the_official_files_are_fetched_from_a_mirror_and_packed(name: str, mirror: Path, tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "config/datasets"
    dataset = yaml.safe_load((config / f"{name}.yaml").read_text(encoding="utf-8"))
    files = yaml.safe_load((config / "avmnist.yaml").read_text(encoding="utf-8"))["sources"]["official"]["files"]
    for file in files:
        if "contents" in file:
            path = config / file["contents"]
            assert len(read_checksums(path)) == 3000
            file["contents"] = {"path": str(path), "sha256": store.sha256(path)}
            file["urls"] = []
    recipe = {"settings": {"dataset": name, "source": "official", "files": files}}
    download(recipe, tmp_path / "raw", mirror=str(mirror), cache=tmp_path / "cache")
    packed(tmp_path / "raw", tmp_path / "out", **dataset["reader"]["avmnist"] | {"num_train": 2000, "num_test": 300})
    described = read_description(both(tmp_path / "out"))
    assert described["splits"] == {"train": 1600, "val": 400, "test": 300}
    assert json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))["dropped"] == []
    assert {Path(row["recording"]).stem.split("_")[1] for row in clips(tmp_path / "out")} == {
        "george",
        "jackson",
        "lucas",
        "nicolas",
        "theo",
        "yweweler",
    }
