import base64
import html
import json
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray

from avbalance import store
from avbalance.data.packed import Split
from avbalance.errors import UserError
from avbalance.prepare import audit, audit_pictures

VOID = {"meta", "img", "br", "rect"}
SPLITS = ("train", "val", "test")
VIEWS = {
    "audio": {"log_mel": {"sample_rate": 16000, "num_mels": 20}},
    "visual": {"faces": {"detector": {"yunet": {"threshold": 0.9}}, "size": 24, "num_frames": 4}},
    "flow": {"flow": {"size": 24, "num_frames": 2, "bound": 20.0}},
}
Make = Callable[..., dict[str, Any]]


class Page(HTMLParser):
    """What a browser finds in a page: tables by caption (rows of texts), images, all attributes, all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag
        if tag == "table":
            assert self._caption
            assert self._caption not in self.tables
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self._rows[-1][-1] += data

    def values(self, tag: str, name: str) -> list[str]:
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def picture(address: str) -> NDArray[np.uint8]:
    """A JPEG in a data address, [height, width, RGB]."""
    start = "data:image/jpeg;base64,"
    assert address.startswith(start)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(address[len(start) :]), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Publishes a prepared set of media and gives the recipe of its page."""

    def publish(
        labels: Sequence[NDArray[Any]] = (np.arange(9) % 3, np.arange(3), np.arange(5) % 3),
        classes: Sequence[str] = ("ba", "da", "ga"),
        names: Callable[[str, int], str] = lambda split, index: f"{split}_{index}.mp4",
        report: dict[str, list[dict[str, str]]] | None = None,
        windows: int = 1,
        arrays: dict[str, NDArray[Any]] | None = None,
        generated: bool = False,
        trials: str = "",
    ) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        single = {
            "audio": rng.normal(size=(20, 30)).astype(np.float16),
            "visual": rng.integers(0, 256, (3, 4, 24, 24), np.uint8),
            "flow": rng.integers(100, 156, (2, 2, 24, 24), np.uint8),
        } | (arrays or {})
        task = "multi_label" if labels[0].ndim == 2 else "single_label"
        recipe = {"settings": {}, "inputs": {"raw": "results/raw/talk-1"}, "code": {"avbalance.x": "0123"}}
        folder = tmp_path / "talk.0123456789ab"
        with store.publish(folder, recipe) as out:
            rows = []
            for split, label in zip(SPLITS, labels, strict=True):
                np.save(out / f"{split}_label.npy", label)
                np.save(out / f"{split}_clip.npy", np.arange(len(label)))
                np.save(out / f"{split}_video.npy", np.arange(len(label)) // windows)
                for modality, array in single.items():
                    for shard, first in enumerate(range(0, len(label), 4)):
                        copies = np.stack([array] * min(4, len(label) - first))
                        np.save(out / f"{split}_{modality}-{shard:04d}.npy", copies)
                rows += [
                    (split, index, 0, names(split, index), 0.0, 1 + index / 8, 25 + index, "", "")
                    for index in range(len(label))
                ]
            columns = "split,index,label,clip,start_seconds,seconds,num_frames,sha256,repairs"
            pd.DataFrame(rows, columns=columns.split(",")).to_csv(out / "clips.csv", index=False)
            (out / "report.json").write_text(
                json.dumps({"num_clips": 20, "dropped": [], "repaired": [], "unused": []} | (report or {})),
                encoding="utf-8",
            )
            shapes: dict[str, dict[str, Any]] = {name: {"shape": array.shape} for name, array in single.items()}
            shapes["visual"] |= {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
            described: dict[str, Any] = {
                "name": "talk",
                "task": task,
                "num_classes": len(classes),
                "classes": list(classes),
            }
            described |= {"modalities": shapes, "splits": dict(zip(SPLITS, map(len, labels), strict=True))}
            if trials:
                (out / "trials.csv").write_text(trials, encoding="utf-8")
                described |= {"task": "verification"}
                described["trials"] = {"1": {"used": 3, "dropped": 2}, "E": {"used": 1, "dropped": 0}}
            (out / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
        files = [
            {"list": "talk.sha256", "urls": ["https://a.example/{path}", "https://b.example/{path}"]},
            {"path": "talk.zip", "request": "Ask Jane Doe", "md5": 32 * "d"},
        ]
        source = {"generator": {"talk_miniature": {"seed": 7}}} if generated else {"files": files}
        about = {"title": "Talk & <i>Sing</i>", "licence": "ODbL", "citation": "Doe, 2020", "scale": "laptop"}
        about["faces"] = {"visual": "retinaface_mobilenet (RetinaFace, MobileNet-0.25)"}
        return {
            "settings": {
                "about": about | {"source": source},
                "parameters": {"dataset": "talk", "num_classes": len(classes), "views": VIEWS},
            },
            "inputs": {f"data_{modality}": str(folder) for modality in single},
        }

    return publish


def test_the_head_says_what_the_set_is_and_where_it_comes_from(make: Make) -> None:
    recipe = make()
    page = Page(audit.render(recipe))
    provenance = store.read_manifest(Path(recipe["inputs"]["data_audio"]))["provenance"]
    for text in (
        "single label, 3 classes",
        "found by retinaface_mobilenet (RetinaFace, MobileNet-0.25)",
        "ODbL",
        "Doe, 2020",
        "0123456789ab",
        provenance["commit"],
    ):
        assert text in page.texts
    assert provenance["finished"] in page.texts
    assert page.tables["Sources"][1:] == [
        ["files of talk.sha256", "https://a.example/{path}, or https://b.example/{path}", "list talk.sha256"],
        ["talk.zip", "Ask Jane Doe", f"md5 {32 * 'd'}"],
    ]
    assert "Generated data" not in "".join(page.texts)


def test_generated_data_are_called_so(make: Make) -> None:
    page = Page(audit.render(make(generated=True)))
    assert "Generated data: a program made these clips" in "".join(page.texts)
    assert 'Source: the generator talk_miniature with {"seed": 7}.' in "".join(page.texts)
    assert "Sources" not in page.tables


def test_every_parameter_stands_on_the_page(make: Make) -> None:
    shown = audit.render(make())
    (parameters,) = re.findall(r"<pre>(.*?)</pre>", shown, re.DOTALL)
    assert yaml.safe_load(html.unescape(parameters)) == {"dataset": "talk", "num_classes": 3, "views": VIEWS}
    assert Page(shown).tables["What a packed clip is"][1:] == [
        ["audio", "20 × 30", "float16", "none"],
        ["visual", "3 × 4 × 24 × 24", "uint8", "123.7 ± 58.4, 116.3 ± 57.12, 103.5 ± 57.38"],
        ["flow", "2 × 2 × 24 × 24", "uint8", "none"],
    ]


def test_clips_are_counted_for_each_split_and_class(make: Make) -> None:
    tables = Page(audit.render(make())).tables
    assert tables["Clips of each class"] == [
        ["Class", "train", "val", "test", "all"],
        ["ba", "3", "1", "2", "6"],
        ["da", "3", "1", "2", "6"],
        ["ga", "3", "1", "1", "5"],
        ["clips", "9", "3", "5", "17"],
    ]
    heading, train, _, test = tables["Clips of each split"]
    assert heading == ["Split", "Clips", "Minutes", "Classes with clips", "Fewest of a class", "Median", "Most"]
    # 9 clips of 1 + i / 8 s: 9 + 36 / 8 = 13.5 s; 5 clips: 5 + 10 / 8 = 6.25 s
    assert train == ["train", "9", "0.2", "3", "3", "3", "3"]
    assert test == ["test", "5", "0.1", "3", "1", "2", "2"]


def test_of_many_classes_the_smallest_and_the_largest_are_named(make: Make) -> None:
    train = np.repeat(np.arange(50), np.arange(50) // 10)  # ten classes of 0 clips, ten of 1, ..., ten of 4
    tables = Page(audit.render(make((train, np.array([7]), np.array([48, 48])), [f"c{i}" for i in range(50)]))).tables
    assert [row[0] for row in tables["The 5 smallest classes"][1:]] == ["c0", "c1", "c2", "c3", "c4"]
    assert tables["The 5 largest classes"][1:3] == [["c48", "4", "0", "2", "6"], ["c49", "4", "0", "0", "4"]]
    assert len(tables["The 5 largest classes"][1:]) == 5
    assert "Clips of each class" not in tables
    assert tables["Clips of each split"][1][3:] == ["40", "0", "2", "4"]


def test_a_clip_of_several_labels_counts_in_each(make: Make) -> None:
    labels = (np.array([[1, 1, 0], [0, 1, 0]], np.uint8), np.array([[1, 1, 1]], np.uint8), np.zeros((1, 3), np.uint8))
    page = Page(audit.render(make(labels)))
    assert page.tables["Clips of each class"][1:] == [
        ["ba", "1", "1", "0", "2"],
        ["da", "2", "1", "0", "3"],
        ["ga", "0", "1", "0", "1"],
        ["clips", "2", "1", "1", "4"],
    ]
    assert [row[-1] for row in page.tables["Clips of each split"]] == ["Classes a clip", "1.50", "3.00", "0.00"]
    assert "train, ba, da" in page.texts


def test_videos_are_counted_where_clips_are_windows(make: Make) -> None:
    heading, *lines = Page(audit.render(make(windows=2))).tables["Clips of each split"]
    assert heading[1:3] == ["Clips", "of videos"]
    assert [line[1:3] for line in lines] == [["9", "5"], ["3", "2"], ["5", "3"]]  # the last of each is alone


def test_pairs_for_verification_are_counted(make: Make) -> None:
    labels = (np.arange(9) % 3, np.arange(3), np.array([3, 3, 4]))  # persons 3 and 4 are met in test alone
    page = Page(audit.render(make(labels, trials="list,enrol,test,is_target\n1,0,1,1\n1,0,2,0\n1,1,2,0\nE,0,1,1\n")))
    assert page.tables["Pairs of test clips"][1:] == [["1", "3", "1", "2"], ["E", "1", "1", "0"]]
    assert page.tables["Clips of each class"][3:6] == [["ga", "3", "1", "0", "4"], [*"30022"], [*"40011"]]
    assert "test, 4" in page.texts


def test_reasons_are_counted_with_numbers_aside_and_every_clip_is_named(make: Make) -> None:
    repaired = [{"clip": f"c{i}", "why": f"no face in {i} of 1,024 frames"} for i in range(250)]
    repaired += [{"clip": "c0", "why": "cut from 1.17 s to 1 s"}]
    dropped = [{"clip": "c999", "why": "no sound"}]
    unused = [{"file": "a/b.mov", "why": "in no list"}]
    page = Page(audit.render(make(report={"dropped": dropped, "repaired": repaired, "unused": unused})))
    assert page.tables["Repaired: reasons"][1:] == [["250", "no face in # of # frames"], ["1", "cut from # s to # s"]]
    assert len(page.tables["Repaired: names"][1:]) == 200
    assert page.tables["Repaired: names"][3] == ["c1", "no face in 1 of 1,024 frames"]
    assert "And 51 more; all are in report.json." in page.texts
    assert page.tables["Dropped: names"][1:] == [["c999", "no sound"]]
    assert page.tables["Unused: names"] == [["File", "Why"], ["a/b.mov", "in no list"]]
    assert {"Dropped clips or files: 1 of 20", "Repaired clips or files: 250"} <= set(page.texts)


def test_the_summary_for_the_results_page_counts_clips_once(make: Make) -> None:
    repaired = [{"clip": clip, "why": "no face"} for clip in ("c1", "c1", "c2")]
    assert audit.summarise_dataset(make(report={"repaired": repaired})) == {
        "title": "Talk & <i>Sing</i>",
        "licence": "ODbL",
        "citation": "Doe, 2020",
        "faces": {"visual": "retinaface_mobilenet (RetinaFace, MobileNet-0.25)"},
        "task": "single_label",
        "num_classes": 3,
        "classes": ["ba", "da", "ga"],
        "clips": {"train": 9, "val": 3, "test": 5},
        "dropped": 0,
        "repaired": 2,
    }
    many = tuple(f"class {number}" for number in range(41))
    assert audit.summarise_dataset(make(classes=many))["classes"] == []


def test_odd_names_are_shown_as_they_are(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "<script>alert('1')</script> & \"NA\" ü, "
    dropped = [{"clip": f"{odd}\udcff", "why": "<b>no</b> sound"}]
    recipe = make(
        names=lambda split, index: f"{odd}{split}{index}", classes=("<i>", "&amp;", '"'), report={"dropped": dropped}
    )
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    out, stamp = tmp_path / "audit" / "talk.html", tmp_path / "audit" / "talk.0123.key"
    monkeypatch.setattr("sys.argv", ["x", *f"--recipe {tmp_path}/recipe.json --out {out} --stamp {stamp}".split()])
    audit.main()
    assert json.loads(stamp.read_text(encoding="utf-8")) == recipe | {
        "files": {file.name: store.file_entry(file) for file in (out, out.with_suffix(".json"))}
    }
    assert json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["classes"] == ["<i>", "&amp;", '"']
    page = Page(out.read_text(encoding="utf-8"))
    assert page.values("script", "src") == []
    assert "<script" not in out.read_text(encoding="utf-8")
    assert page.tables["Dropped: names"][1:] == [[f"{odd}\\udcff", "<b>no</b> sound"]]
    assert [row[0] for row in page.tables["Clips of each class"][1:4]] == ["<i>", "&amp;", '"']
    assert any(f"visual of {odd}train" in text for text in page.values("img", "alt"))
    assert "Talk & <i>Sing</i>: how it was prepared" in page.texts


def test_each_class_is_shown_by_clips_of_every_split(make: Make) -> None:
    page = Page(audit.render(make()))
    assert [text for text in page.texts if text in ("train, ga", "val, ga", "test, ga")] == [
        "train, ga",
        "val, ga",
        "test, ga",
    ]
    assert len(page.values("img", "src")) == 3 * 3 * 3 + 1  # classes, clips, modalities; and the wheel of the flow


def test_every_image_says_what_it_shows_and_nothing_comes_from_elsewhere(make: Make) -> None:
    shown = audit.render(make())
    page = Page(shown)
    assert len(page.values("img", "alt")) == len(page.values("img", "src"))
    assert all(page.values("img", "alt"))
    assert all("shortest" in label for label in page.values("svg", "aria-label"))
    assert shown.count("<svg") == len(page.values("svg", "aria-label")) == 2
    assert all(address.startswith("data:") for address in page.values("img", "src"))
    assert {tag for tag, name, _ in page.attributes if name in ("src", "href", "srcset", "data")} == {"img"}
    for loaded in ("<script", "<link", "<iframe", "@import", "url("):
        assert loaded not in shown


def test_a_large_set_makes_a_small_page_of_the_same_bytes(make: Make) -> None:
    rng = np.random.default_rng(1)
    noise = {
        "audio": rng.normal(size=(257, 299)).astype(np.float16),
        "visual": rng.integers(0, 256, (3, 3, 224, 224), np.uint8),
        "flow": rng.integers(0, 256, (2, 3, 112, 112), np.uint8),
    }
    named = [{"clip": f"clip_{i:06d}_of_somebody.mp4", "why": "no sound; silence was taken"} for i in range(1000)]
    recipe = make(
        (np.arange(6), np.arange(6), np.arange(6)), "abcdef", report={"repaired": named, "dropped": named}, arrays=noise
    )
    shown = audit.render(recipe)
    assert len(shown.encode()) < 400_000  # noise is the worst that there can be
    assert audit.render(recipe) == shown


def test_arrays_without_views_are_shown_too(tmp_path: Path) -> None:
    folder = tmp_path / "digits.0123456789ab"
    with store.publish(folder, {"settings": {"reader": {"digits": {}}}, "inputs": {"raw": "r"}, "code": {}}) as out:
        rows = []
        for split in SPLITS:
            np.save(out / f"{split}_label.npy", np.array([0, 1]))
            np.save(out / f"{split}_clip.npy", np.array([0, 1]))
            np.save(out / f"{split}_audio.npy", np.sin(np.arange(1600.0)).astype(np.float16).reshape(2, 800))
            np.save(out / f"{split}_visual.npy", np.linspace(-1, 2, 2 * 64).astype(np.float16).reshape(2, 1, 8, 8))
            rows += [f"{split},{index},{index},images.gz,{index},{index}.wav" for index in (0, 1)]
        (out / "clips.csv").write_text(
            "\n".join(["split,index,label,images,image,recording", *rows]) + "\n", encoding="utf-8"
        )
        (out / "report.json").write_text(
            json.dumps({"dropped": [], "repaired": [{"file": "0.wav", "why": "cut"}]}), encoding="utf-8"
        )
        modalities = {"audio": {"shape": [800]}, "visual": {"shape": [1, 8, 8]}}
        dataset = {
            "num_classes": 2,
            "classes": ["0", "1"],
            "modalities": modalities,
            "splits": dict.fromkeys(SPLITS, 2),
        }
        (out / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    about = {"title": "Digits", "licence": "", "citation": "", "scale": "laptop", "faces": {}, "source": {"files": []}}
    inputs = {f"data_{modality}": str(folder) for modality in modalities}
    page = Page(audit.render({"settings": {"about": about, "parameters": {}}, "inputs": inputs}))
    assert "images.gz · 1 · 1.wav" in page.texts
    assert page.tables["Repaired: names"][1:] == [["0.wav", "cut"]]
    assert "wave of 800 samples, time to the right, from −1 to 1" in page.texts
    assert any(address.startswith("data:image/svg+xml") for address in page.values("img", "src"))
    assert page.values("svg", "aria-label") == []  # nothing is known of lengths


def test_a_damaged_set_is_one_clear_line(make: Make) -> None:
    recipe = make()
    array = Path(recipe["inputs"]["data_audio"]) / "val_audio-0000.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(UserError, match=r"val_audio-0000\.npy has other bytes than its manifest says") as raised:
        audit.render(recipe)
    assert "\n" not in str(raised.value)


def test_a_sample_is_taken_from_the_shard_that_holds_it(tmp_path: Path) -> None:
    for shard, levels in enumerate(([0, 1, 2], [100, 200])):
        pictures = np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
        np.save(tmp_path / f"train_visual-{shard:04d}.npy", pictures)
    clips = pd.DataFrame({"split": "train", "index": [*"01234"], "label": "0", "clip": [*"abcde"]})
    np.save(tmp_path / "train_label.npy", np.zeros(5, np.int64))
    np.save(tmp_path / "train_clip.npy", np.arange(5))
    (tmp_path / "dataset.json").write_text('{"modalities": {"visual": {}}}', encoding="utf-8")
    folders = {"visual": tmp_path}
    splits = {"train": Split(folders, "train", torch.device("cpu"))}
    chosen: dict[int, list[audit.Place]] = {0: [("train", 3), ("train", 2), ("train", 4)]}
    (drawing,), (group,) = audit.describe_samples(folders, splits, chosen, ["only"], clips)
    assert [clip["name"] for clip in group["clips"]] == ["d", "c", "e"]
    levels = [int(picture(image)[4, 4, 0]) for image in drawing.images]
    assert np.abs(np.array(levels) - [100, 2, 200]).max() <= 2


def test_what_modalities_differ_in_is_said_of_each(tmp_path: Path) -> None:
    """Of four test clips sound has all, and pictures lack the second, which is broken; both lists drop another."""
    for modality, numbers in (("audio", [0, 1, 2, 3]), ("visual", [0, 2, 3])):
        with store.publish(tmp_path / f"talk_{modality}.{modality}", {"inputs": {}, "code": ""}) as out:
            np.save(out / "test_clip.npy", np.array(numbers))
            np.save(out / "test_label.npy", np.array(numbers) % 2)
            shape = (8, 8) if modality == "audio" else (3, 8, 8)
            values = np.array(numbers, np.uint8).reshape(-1, *[1] * len(shape)) * np.ones((1, *shape), np.uint8)
            np.save(out / f"test_{modality}.npy", values)
            rows = [("test", index, number % 2, f"clip {number}") for index, number in enumerate(numbers)]
            pd.DataFrame(rows, columns=["split", "index", "label", "clip"]).to_csv(out / "clips.csv", index=False)
            dropped = [{"clip": "gone", "why": "does not exist"}]
            dropped += [{"clip": "clip 1", "why": "cannot be read"}] * (modality == "visual")
            report = {"num_clips": 5, "dropped": dropped, "repaired": [], "unused": []}
            (out / "report.json").write_text(json.dumps(report), encoding="utf-8")
            described = {"num_classes": 2, "classes": ["a", "b"], "modalities": {modality: {"shape": shape}}}
            (out / "dataset.json").write_text(
                json.dumps(described | {"splits": {"test": len(numbers)}}), encoding="utf-8"
            )
    about = {"title": "Talk", "licence": "", "citation": "", "scale": "laptop", "faces": {}, "source": {"files": []}}
    inputs = {f"data_{name}": str(tmp_path / f"talk_{name}.{name}") for name in ("audio", "visual")}
    recipe = {"settings": {"about": about, "parameters": {}}, "inputs": inputs}
    page = Page(audit.render(recipe))
    assert page.tables["Dropped: names"][1:] == [["clip 1", "visual: cannot be read"], ["gone", "does not exist"]]
    assert page.tables["Clips of each split"][1][1] == "3"
    assert "test: clips that every modality has; of audio there are 4, of visual there are 3." in page.texts
    assert [page.texts.count(f"clip {number}") for number in range(4)] == [1, 1, 1, 1]  # clip 1 among the dropped
    summary = audit.summarise_dataset(recipe)
    assert (summary["clips"], summary["dropped"]) == ({"test": 3}, 2)


def test_samples_are_spread_over_classes_and_places() -> None:
    labels = {"train": np.repeat(np.arange(11), 60), "test": np.arange(11)}
    chosen = audit.choose_samples(labels, audit.count_classes(labels, 11))
    assert list(chosen) == [0, 2, 4, 6, 8, 10]
    # The middle of the first, second, ... sixth part of the class's 60 clips; then test; then train again.
    assert [places[0] for places in chosen.values()] == [("train", 60 * label + 5 + 5 * label) for label in chosen]
    assert [places[1] for places in chosen.values()] == [("test", label) for label in chosen]
    assert chosen[4][2] == ("train", 240)


@pytest.mark.parametrize(
    ("values", "finest", "heights", "ends"),
    [
        ([75.0, 75.0], 1.0, [100.0], ("75", "76 frames")),
        ([1.0, 2.0, 2.0, 4.0], 1.0, [50.0, 100.0, 0.0, 50.0], ("1", "5 frames")),
        # (100 - 0) / 40 = 2.5, so bars are 5 wide: 0 to 105
        ([0.0, 100.0], 1.0, [100.0, *19 * [0.0], 100.0], ("0", "105 frames")),
        # one clip of 1,000 is 0.1 %, drawn as 1
        ([2.0, *999 * [3.0]], 1.0, [1.0, 100.0], ("2", "4 frames")),
        # (0.3 - 0.29) / 40 is less than the finest, 0.01; 0.29 lies in its own bar though 0.29 / 0.01 < 29
        ([0.29, 0.3, 0.3], 0.01, [50.0, 100.0], ("0.29", "0.31 frames")),
    ],
)
def test_lengths_are_counted_in_bars_of_round_width(
    values: list[float], finest: float, heights: list[float], ends: tuple[str, str]
) -> None:
    histogram = audit_pictures.count_lengths(np.array(values), "frames", finest)
    assert [bar.height for bar in histogram.bars] == heights
    assert (histogram.low, histogram.high) == ends


def test_low_frequencies_are_below_and_time_runs_to_the_right() -> None:
    spectrogram = np.zeros((20, 30), np.float16)
    spectrogram[:10, 15:] = 4  # low, late
    image = picture(audit_pictures.draw("audio", [spectrogram], 95).images[0]).astype(int)
    yellow, violet = np.array([253, 231, 37]), np.array([68, 1, 84])  # the ends of viridis
    assert np.abs(image[15, 22] - yellow).max() < 12
    for row, column in ((5, 7), (5, 22), (15, 7)):
        assert np.abs(image[row, column] - violet).max() < 12


def test_colour_is_the_direction_of_flow() -> None:
    flow = np.full((2, 3, 32, 32), 128, np.uint8)
    flow[0, 0] = 228  # to the right: hue 0
    flow[1, 2] = 228  # downwards: hue 90 degrees
    drawing = audit_pictures.draw("flow", [flow], 95)
    image = picture(drawing.images[0]).astype(int)
    assert image.shape == (32, 3 * 32 + 2 * 2, 3)
    for column, colour in ((16, (255, 0, 0)), (50, (255, 255, 255)), (84, (128, 255, 0))):
        assert np.abs(image[16, column] - colour).max() < 12
    assert drawing.legend.startswith("first, middle and last of 3 optical flows")
    assert "full colour 79% of the bound" in drawing.legend  # 100 / 127


def test_pictures_keep_their_colours_and_grey_ones_their_range() -> None:
    frame = np.zeros((3, 160, 80), np.uint8)
    frame[0] = 200
    image = picture(audit_pictures.draw("visual", [frame], 95).images[0])
    assert image.shape == (80, 40, 3)
    assert np.abs(image[40, 20].astype(int) - (200, 0, 0)).max() < 6
    grey = np.linspace(-1, 3, 16, dtype=np.float16).repeat(16).reshape(1, 16, 16)
    drawing = audit_pictures.draw("visual", [grey], 95)
    assert drawing.small
    assert drawing.legend == "pictures, 16 × 16 pixels, from −1 (black) to 3 (white)"
    rows = picture(drawing.images[0])[:, 8, 0].astype(int)
    assert np.abs(rows - np.linspace(0, 255, 16)).max() < 8


def test_a_wave_is_drawn_by_the_extremes_of_its_columns() -> None:
    wave = np.zeros(320, np.float16)
    wave[2:4] = (1, -1)
    (address,) = audit_pictures.draw("audio", [wave], 95).images
    picture_of_wave = base64.b64decode(address.removeprefix("data:image/svg+xml;base64,")).decode()
    # Two samples a column: rest is a stroke of 1 around the middle, 40; full strokes end at 1 and 80.
    assert 'd="M0 40V41M1 1V80M2 40V41' in picture_of_wave
