import csv
from collections import Counter
from pathlib import Path

import av
import pytest

from avbalance.data.clips import Clip, Reader
from avbalance.data.miniatures.ssw60 import SSW60Miniature
from avbalance.data.ssw60 import SSW60, SSW60Audio, SSW60Images
from avbalance.errors import UserError

READERS = {"videos": SSW60(), "images": SSW60Images(), "audio": SSW60Audio()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    SSW60Miniature(num_train=60, num_test=20).generate(folder)
    return folder


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists in the columns and with the examples of the official description; there are no media."""
    texts = {
        "taxa": """\
label,species_code,inat_taxon_id,inat2021_label,nabirds_labels,common_name,scientific_name,family,order
0,cangoo,7089,3226,57 457,Canada Goose,Branta canadensis,"Anatidae (Ducks, Geese, and Waterfowl)",Anseriformes
1,wooduc,7107,3188,81 314 613,Wood Duck,Aix sponsa,"Anatidae (Ducks, Geese, and Waterfowl)",Anseriformes
""",
        "video_ml": """\
asset_id,label,split,fps,frame_count,duration_seconds,frame_height,frame_width,frame_channels,reliable_audio
483821,0,train,25,327,9.96,1080,1920,3,1
476723,1,test,25,277,9.96,1080,1920,3,0
""",
        "images_inat": "asset_id,label,split,height,width,channels,rights_holder,license_id\n"
        "73542,1,val,500,333,3,Kent Miller,5\n",
        "images_nabirds": "asset_id,label,split,height,width,channels,photographer\n"
        '0233251e10054daa99e6b68369e143fb,0,train,1024,683,3,"Mozzoni, David"\n',
        "audio_ml": "asset_id,label,split,samplerate,channels,samples,duration_seconds\n"
        "45516191,0,train,22050,1,220500,10\n",
    }
    (tmp_path / "ssw60").mkdir()
    for name, text in texts.items():
        (tmp_path / f"ssw60/{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_videos_are_seen_and_heard_and_the_unpaired_parts_one_of_both(lists: Path) -> None:
    video = "ssw60/video_ml/{}.mp4".format
    nabirds = "images_nabirds/0233251e10054daa99e6b68369e143fb"
    assert SSW60().clips(lists) == [
        Clip("video_ml/483821", "train", 0, video(483821), video(483821)),
        Clip("video_ml/476723", "test", 1, video(476723), video(476723)),
    ]
    assert SSW60Images().clips(lists) == [
        Clip("images_inat/73542", "val", 1, "ssw60/images_inat/73542.jpg"),
        Clip(nabirds, "train", 0, f"ssw60/{nabirds}.jpg"),
    ]
    assert SSW60Audio().clips(lists) == [
        Clip("audio_ml/45516191", "train", 0, audio="ssw60/audio_ml/45516191.wav"),
    ]


def test_byte_order_marks_line_ends_and_the_order_of_columns_change_nothing(lists: Path) -> None:
    expected = SSW60().clips(lists)
    path = lists / "ssw60/video_ml.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row[::-1] for row in csv.reader(file)]
    text = "".join(",".join(row) + "\r\n" for row in rows)
    path.write_bytes(text.encode("utf-8-sig"))
    assert SSW60().clips(lists) == expected


@pytest.mark.parametrize("label", ["2", "-1", "", "goose"])
def test_an_unknown_label_is_a_problem_of_its_clip(lists: Path, label: str) -> None:
    with (lists / "ssw60/audio_ml.csv").open("a", encoding="utf-8") as file:
        file.write(f"1,{label},test,22050,1,220500,10\n")
    assert [clip.problem for clip in SSW60Audio().clips(lists)] == ["", f"label {label!r} is not in taxa.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asset_id,label,split\n1,0,dev\n", r"video_ml\.csv: line 2: split is 'dev'; allowed are train, val, test"),
        ("asset_id,label,split\n1,0,test\n2,0\n", r"video_ml\.csv: line 3 has 2 fields instead of 3"),
        ("asset_id,label\n1,0\n", r"video_ml\.csv: line 1 has no column 'split'"),
        (None, r"video_ml\.csv: .* does not exist"),
    ],
)
def test_a_list_that_is_none_names_file_and_line(lists: Path, text: str | None, message: str) -> None:
    path = lists / "ssw60/video_ml.csv"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        SSW60().clips(lists)


def on_disk(raw: Path, reader: Reader) -> set[str]:
    return {path.relative_to(raw).as_posix() for pattern in reader.media for path in raw.glob(pattern)}


def test_the_miniature_has_the_layout_of_the_real_set(raw: Path) -> None:
    counts = {
        "videos": {"train": 60, "test": 20},
        "images": {"train": 60, "val": 12, "test": 24},
        "audio": {"train": 40, "test": 16},
    }
    for part, reader in READERS.items():
        clips = reader.clips(raw)
        assert Counter(clip.split for clip in clips) == counts[part]
        assert {clip.label for clip in clips} == {0, 1, 2, 3}
        assert not any(clip.problem for clip in clips)
    with av.open(str(raw / "ssw60/video_ml/480002.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
    with av.open(str(raw / "ssw60/audio_ml/480002.wav")) as container:
        assert container.streams.audio[0].rate == 22050


def test_the_miniature_holds_the_oddities_of_the_real_set(raw: Path) -> None:
    listed = {part: {str(clip.visual or clip.audio) for clip in reader.clips(raw)} for part, reader in READERS.items()}
    found = {part: on_disk(raw, reader) for part, reader in READERS.items()}
    assert {part: len(found[part] - listed[part]) for part in READERS} == {"videos": 1, "images": 0, "audio": 0}
    assert {part: len(listed[part] - found[part]) for part in READERS} == {"videos": 0, "images": 1, "audio": 0}
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(raw / "ssw60/video_ml/480000.mp4"))
