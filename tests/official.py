"""Small copies of datasets in their official layouts: official names, lists and archives, with other clips in them.

Where a dataset has talking faces the clips are of GRID, and the class is the digit that the face says or, of VoxCeleb,
stands for its person; elsewhere they are moving shapes and chords. So there is something to learn.

    cremad(mirror, folder, 9, 3)                        54 clips for training and 18 for test
    COPIES["ave"](mirror, folder, Size(4, 6, 2))        four classes; of each six clips for training and two for test
"""

import csv
import gzip
import shutil
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import combinations, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.synthetic import scene_frames, sound, write_media
from avbalance.data.voxceleb import LISTS

Recording = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pictures [n, height, width, 3] at 25 a second, and sound [samples] at 16 kHz."""
FPS, SAMPLE_RATE = 25, 16000
CONFIG = Path(__file__).parents[1] / "config" / "datasets"


class Size(NamedTuple):
    """Number of classes, of clips of each in either part, and how long a clip is that is not GRID's."""

    classes: int
    train: int
    test: int
    seconds: float = 10.0


def recordings(mirror: Path, digit: int, num_clips: int, size: tuple[int, int] = (360, 480)) -> Iterator[Recording]:
    """Yield clips of GRID whose face says a digit, resized to a height and width."""
    with (mirror / "grid_s1" / "metadata.csv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["digit"] == str(digit)]
    with tarfile.open(mirror / "grid_s1" / "clips.tar") as archive:
        for path in islice(paths, num_clips):
            member = archive.extractfile(path)
            assert member is not None
            with av.open(BytesIO(member.read())) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
                container.seek(0)
                pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
            yield np.stack([cv2.resize(frame, size[::-1]) for frame in frames]), np.concatenate(pieces)


def scene(label: int, number: int, seconds: float, sample_rate: int = SAMPLE_RATE) -> Recording:
    """A moving shape, 256 x 340, and a chord; both tell the class."""
    random = np.random.default_rng([label, number])
    square = scene_frames(label, 8, round(seconds * FPS), 256, random)
    frames = np.stack([cv2.resize(frame, (340, 256)) for frame in square])
    return frames, sound(label, 8, round(seconds * sample_rate), sample_rate, random)


def write_scene(path: Path, label: int, number: int, seconds: float) -> None:
    """Encode a scene with its sound."""
    frames, wave = scene(label, number, seconds)
    write_media(path, frames, FPS, wave, SAMPLE_RATE)


def listed(size: Size) -> Iterator[tuple[str, int, int]]:
    """Yield (train or test, class, number) of each clip; numbers go on from train to test."""
    for label in range(size.classes):
        for number in range(size.train + size.test):
            yield "train" if number < size.train else "test", label, number


def pack(folder: Path, archive: Path, num_parts: int = 1) -> None:
    """Pack what a folder holds into a zip or a compressed tar, in parts such as `x_partaa`."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = shutil.make_archive(str(archive), "zip" if archive.suffix == ".zip" else "gztar", folder)
    Path(made).rename(archive)
    if num_parts > 1:
        content = archive.read_bytes()
        step = -(-len(content) // num_parts)
        for part in range(num_parts):
            place = archive.with_name(f"{archive.stem}_parta{'abcdefghi'[part]}")
            place.write_bytes(content[part * step : (part + 1) * step])
        archive.unlink()


def cremad(mirror: Path, folder: Path, num_train: int, num_test: int, extracted: bool = False) -> list[str]:
    """Make a partial CREMA-D; return the names of its clips.

    Args:
        mirror: Holds GRID, and the lists of CREMA-D.
        folder: Mirror to be.
        num_train, num_test: Clips of each emotion.
        extracted: True for folders of frames, `VideoFlash/<clip>/000001.jpg`, in place of videos.
    """
    lists = folder / "cremad" / "splits_ogm_ge"
    shutil.copytree(mirror / "cremad" / "splits_ogm_ge", lists)
    shutil.copy(mirror / "cremad" / "VideoDemographics.csv", folder)
    emotions = [line[0].strip() for line in _rows(lists / "stat.csv")]
    names: list[str] = []
    for number, emotion in enumerate(emotions):
        chosen = [
            line[0]
            for split, count in (("train", num_train), ("test", num_test))
            for line in [line for line in _rows(lists / f"{split}.csv") if line[1] == emotion][:count]
        ]
        for name, (frames, wave) in zip(chosen, recordings(mirror, number, len(chosen)), strict=True):
            write_media(folder / "AudioWAV" / f"{name}.wav", wave=wave, sample_rate=SAMPLE_RATE)
            if extracted:
                for index, frame in enumerate(frames, start=1):
                    write_media(folder / "VideoFlash" / name / f"{index:06d}.jpg", frame[None])
            else:
                write_media(folder / "VideoFlash" / f"{name}.flv", frames, FPS, wave, SAMPLE_RATE)
            names.append(name)
    if extracted:
        (folder / "VideoFlash" / "fps.txt").write_text(f"{FPS}\n", encoding="utf-8")
    return names


def voxceleb(mirror: Path, folder: Path, size: Size) -> None:
    """Zips of sound and of videos, those of VoxCeleb2's dev in parts, and the four lists of trials.

    `size.classes` persons train, at most six; two others are tested in VoxCeleb1, and two in VoxCeleb2.
    """
    insides = {"dev": ("dev/mp4", "dev/aac", ".m4a"), "vox1": ("mp4", "wav", ".wav"), "vox2": ("mp4", "aac", ".m4a")}
    names: dict[str, list[str]] = {part: [] for part in insides}
    with TemporaryDirectory() as scratch:
        for person, part in enumerate([*["dev"] * size.classes, "vox1", "vox1", "vox2", "vox2"]):
            video, audio, suffix = insides[part]
            count = size.train if part == "dev" else size.test
            for number, (frames, wave) in enumerate(recordings(mirror, person, count, (224, 224))):
                name = f"id{10000 + person}/video{number // 2:06d}/{number % 2 + 1:05d}"
                write_media(Path(scratch, part, "videos", video, f"{name}.mp4"), frames, FPS)
                sound_file = Path(scratch, part, "sounds", audio, f"{name}{suffix}")
                write_media(sound_file, wave=wave, sample_rate=SAMPLE_RATE)
                names[part].append(name)
        for inside, archive, num_parts in (
            ("dev/sounds", "vox2/vox2_dev_aac.zip", 2),
            ("dev/videos", "voxceleb_videos/vox2_dev_mp4.zip", 9),
            ("vox1/sounds", "vox1/vox1_test_wav.zip", 1),
            ("vox1/videos", "voxceleb_videos/vox1_test_mp4.zip", 1),
            ("vox2/sounds", "vox2/vox2_test_aac.zip", 1),
            ("vox2/videos", "voxceleb_videos/vox2_test_mp4.zip", 1),
        ):
            pack(Path(scratch, inside), folder / archive, num_parts)
    for part, delimiter, path in LISTS.values():
        slash = "/" if path == "voxceleb/test_pairs.csv" else ""
        trials = [
            [int(one.split("/")[0] == other.split("/")[0]), f"{slash}{one}.wav", f"{slash}{other}.wav"]
            for one, other in combinations(names[f"vox{part}"], 2)
        ]
        write_rows(folder / path, trials, delimiter)


def kinetics400(mirror: Path, folder: Path, size: Size) -> None:
    """Compressed tars of train, in two, of val and of a replacement, and lists of Kinetics-400 and Kinetics-Sounds."""
    folder, sounds = folder / "kinetics400", folder / "kinetics_sounds"
    actions = ("bowling", "chopping wood", "clapping", "laughing", "playing guitar", "tap dancing")
    header: list[object] = ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    rows: dict[str, list[list[object]]] = {"train": [header], "val": [header]}
    heard: dict[str, list[list[object]]] = {"train": [], "test": []}
    with TemporaryDirectory() as scratch:
        for split, label, number in listed(size):
            part, video = "train" if split == "train" else "val", f"k-{label}_{number:07d}"
            name = f"{video}_000010_000020"
            rows[part].append([actions[label], video, 10, 20, part, 0])
            heard[split].append([name, 10, label])
            path = Path(scratch, f"{part}_{number % 2 if part == 'train' else 0}", f"{name}.mp4")
            write_scene(path, label, number, size.seconds)
            if (split, label, number) == ("train", 0, 0):
                place = Path(scratch, "replaced/replacement_for_corrupted_k400", path.name)
                place.parent.mkdir(parents=True)
                shutil.copy(path, place)
                path.write_bytes(path.read_bytes()[:200])
        for part, index in (("train", 0), ("train", 1), ("val", 0)):
            pack(Path(scratch, f"{part}_{index}"), folder / part / f"part_{index}.tar.gz")
        pack(Path(scratch, "replaced"), folder / "replacement_for_corrupted_k400.tgz")
    for part, lines in rows.items():
        write_rows(folder / "annotations" / f"{part}.csv", lines)
    for split, lines in heard.items():
        write_rows(sounds / f"my_{split}.txt", lines, end="\r\n")


def ssw60(mirror: Path, folder: Path, size: Size) -> None:
    """One compressed tar of videos, sounds, images of two origins, and lists."""
    with TemporaryDirectory() as scratch:
        place = Path(scratch, "ssw60")
        species = [[label, f"specie{label}", f"Species {label}", f"Avis {label}"] for label in range(60)]
        write_rows(place / "taxa.csv", [["label", "species_code", "common_name", "scientific_name"], *species])
        for part, suffix in (
            ("video_ml", "mp4"),
            ("audio_ml", "wav"),
            ("images_inat", "jpg"),
            ("images_nabirds", "jpg"),
        ):
            rows: list[list[object]] = [["asset_id", "label", "split"]]
            for index, (split, label, number) in enumerate(listed(size)):
                asset = f"{index:032x}" if part == "images_nabirds" else f"{480000 + index}"
                has_val = part == "images_inat" and number == 0
                rows.append([asset, label, "val" if has_val else split])
                path = place / part / f"{asset}.{suffix}"
                number += 1000 * (part == "images_nabirds")
                if suffix == "mp4":
                    write_scene(path, label, number, size.seconds)
                elif suffix == "wav":
                    write_media(path, wave=scene(label, number, size.seconds, 22050)[1], sample_rate=22050)
                else:
                    write_media(path, scene(label, number, 1 / FPS)[0])
            write_rows(place / f"{part}.csv", rows)
        pack(Path(scratch), folder / "ssw60.tar.gz")


def ucf101(mirror: Path, folder: Path, size: Size) -> None:
    """A zip of videos, first groups of the last classes of the first split, and a zip of all official lists.

    The last two training groups of a class are val, so they are among the clips.
    """
    with TemporaryDirectory() as scratch:
        lists = Path(scratch, "lists/ucfTrainTestlist")
        lists.mkdir(parents=True)
        shutil.copy(mirror / "splits/ucf101/classInd.txt", lists)
        for packed in sorted((mirror / "splits/ucf101").glob("*.gz")):
            (lists / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
        actions = [line[0].split()[1] for line in _rows(lists / "classInd.txt")]
        for label in range(size.classes):
            for split, count in (("train", size.train), ("test", size.test)):
                entries = [line[0].split()[0] for line in _rows(lists / f"{split}list01.txt")]
                files = [entry.split("/")[1] for entry in entries if entry.startswith(f"{actions[label]}/")]
                singles = [file for file in files if file.endswith("_c01.avi")]  # of each group one
                chosen = singles[:count] if split == "test" else [*singles[: count - 2], *singles[-2:]]
                for number, file in enumerate(chosen, start=1000 * (split == "test")):
                    write_scene(Path(scratch, "videos/UCF101", file), label, number, size.seconds)
        pack(Path(scratch, "lists"), folder / "ucf101/UCF101TrainTestSplits-RecognitionTask.zip")
        pack(Path(scratch, "videos"), folder / "ucf101/UCF101_videos.zip")


def epic_kitchens(mirror: Path, folder: Path, size: Size) -> None:
    """One long video of a kitchen that trains and one of a kitchen that is tested, and the three lists."""
    folder /= "epic_kitchens"
    for what, number in (("verb", 125), ("noun", 352)):
        classes = [[index, f"{what}{index}", f"['{what}{index}']"] for index in range(number)]
        write_rows(folder / f"EPIC_{what}_classes.csv", [[f"{what}_id", "class_key", f"{what}s"], *classes])
    header = "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame"
    rows: list[list[object]] = [
        [*header.split(","), "verb", "verb_class", "noun", "noun_class", "all_nouns", "all_noun_classes"]
    ]
    segments: dict[str, list[Recording]] = {"P01": [], "P26": []}
    for split, label, number in listed(size):
        kitchen = "P01" if split == "train" else "P26"
        ends = [len(segments[kitchen]) * size.seconds, (len(segments[kitchen]) + 1) * size.seconds]
        times = [f"00:{int(end // 60):02d}:{end % 60:05.2f}" for end in ends]
        frames = [round(end * FPS) for end in ends]
        words = [f"verb{label}", label, f"noun{label}", label, f"['noun{label}']", f"[{label}]"]
        narration = f"verb{label} noun{label}"
        rows.append([len(rows) - 1, kitchen, f"{kitchen}_01", narration, *times, *frames, *words])
        segments[kitchen].append(scene(label, number, size.seconds))
    write_rows(folder / "EPIC_train_action_labels.csv", rows)
    for kitchen, parts in segments.items():
        pictures, waves = (np.concatenate(each) for each in zip(*parts, strict=True))
        path = folder / "videos/train" / kitchen / f"{kitchen}_01.mp4"
        write_media(path, pictures, FPS, waves, SAMPLE_RATE)
        path.rename(path.with_suffix(".MP4"))


def ave(mirror: Path, folder: Path, size: Size) -> None:
    """The unpacked archive. The lists name all 28 classes; a quarter of the training clips is val."""
    folder = folder / "ave" / "AVE_Dataset"
    classes = yaml.safe_load((CONFIG / "ave.yaml").read_text(encoding="utf-8"))["classes"]
    rows: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for split, label, number in listed(size):
        part = "val" if split == "train" and number % 4 == 3 else split
        video = f"-a{label:02d}_{number:06d}"
        rows[part].append([classes[label], video, "good", 0, 10])
        write_scene(folder / "AVE" / f"{video}.mp4", label, number, size.seconds)
    rows["train"] += [[name, f"absent{label:05d}", "good", 0, 10] for label, name in enumerate(classes)]
    for part, lines in rows.items():
        write_rows(folder / f"{part}Set.txt", lines, delimiter="&")


COPIES: dict[str, Callable[[Path, Path, Size], None]] = {
    "ave": ave,
    "epic_kitchens_verb": epic_kitchens,
    "kinetics400": kinetics400,
    "ssw60": ssw60,
    "ucf101": ucf101,
    "voxceleb": voxceleb,
}
"""{dataset: maker of its copy}, given a mirror with GRID and lists, the mirror to be, and a size."""


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [line for line in csv.reader(file) if line]
