from pathlib import Path

import pytest

from avbalance.data.miniatures.vggsound import VGGSoundMiniature
from avbalance.data.vggsound import VGGSound
from avbalance.errors import UserError


def test_lines_of_the_official_form_are_read(tmp_path: Path) -> None:
    (tmp_path / "vggsound").mkdir()
    lines = ['-x,30,"sea waves, surf",train', "b,300,bark,train", "c,0,bark,test", "d,1,quack,test"]
    (tmp_path / "vggsound/vggsound.csv").write_text("\n".join(lines), encoding="utf-8")
    clips = VGGSound().clips(tmp_path)
    assert [(clip.name, clip.split, clip.label) for clip in clips][:3] == [
        ("-x_000030", "train", 1),
        ("b_000300", "train", 0),
        ("c_000000", "test", 0),
    ]
    assert clips[1].audio == "vggsound/clips/b_000300.mp4"
    assert clips[3].problem == "'quack' is not a class of train"


def test_unknown_split_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "vggsound").mkdir()
    (tmp_path / "vggsound/vggsound.csv").write_text("a,1,bark,train\nb,2,bark,val\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"vggsound\.csv: line 2 "):
        VGGSound().clips(tmp_path)


def test_generated_clips_are_all_there(tmp_path: Path) -> None:
    VGGSoundMiniature(num_train=4, num_test=4).generate(tmp_path)
    clips = VGGSound().clips(tmp_path)
    assert [clip.label for clip in clips] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert all((tmp_path / str(clip.audio)).is_file() for clip in clips)
