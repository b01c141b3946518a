from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from avbalance.data.miniatures.base import Miniature
from avbalance.data.miniatures.cremad import CREMADMiniature
from avbalance.data.miniatures.kinetics import KineticsMiniature
from avbalance.data.miniatures.ssw60 import SSW60Miniature
from avbalance.data.miniatures.synthetic import face_frames, scene_frames, shown, sound
from avbalance.data.miniatures.voxceleb import VoxCelebMiniature
from avbalance.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 3}, "num_train is 3; allowed are 4 to 400"),
        ({"num_test": 401}, "num_test is 401; allowed are 4 to 400"),
        ({"informativeness_audio": -0.1}, "informativeness_audio is -0.1; allowed are 0 to 1"),
        ({"informativeness_visual": 1.5}, "informativeness_visual is 1.5; allowed are 0 to 1"),
        ({"seed": -1}, "seed is -1; allowed are 0 to 4294967295"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=rf"^KineticsMiniature\.{message}$"):
        KineticsMiniature(**options)  # type: ignore[arg-type]


def test_each_modality_shows_the_class_as_often_as_its_own_informativeness_says(tmp_path: Path) -> None:
    miniature = CREMADMiniature(informativeness_audio=0.0, informativeness_visual=1.0)
    heard = int(shown(4, 6, 0.0, random := default_rng(1)))
    assert heard != 4
    np.testing.assert_array_equal(miniature.wave(4, default_rng(1)), sound(heard, 6, 24000, 16000, random))
    shown(4, 6, 1.0, random := default_rng(1))
    np.testing.assert_array_equal(miniature.pictures(4, default_rng(1)), scene_frames(4, 6, 15, 64, random))
    shown(4, 6, 1.0, random := default_rng(1))
    miniature.write_face(tmp_path / "face.mp4", 4, default_rng(1))
    _, landmarks = face_frames(4, 6, 15, 64, random)
    written = np.loadtxt(tmp_path / "face.landmarks.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(written[:, 1:], landmarks.reshape(15, 10), atol=0.0005)


@pytest.mark.parametrize("kind", [CREMADMiniature, KineticsMiniature, SSW60Miniature, VoxCelebMiniature])
def test_another_seed_gives_other_media(kind: type[Miniature], tmp_path: Path) -> None:
    media = []
    for seed in (0, 1):
        kind(num_train=12, num_test=12, seed=seed).generate(tmp_path / str(seed))
        files = [path for path in (tmp_path / str(seed)).rglob("*.*") if path.suffix not in (".csv", ".txt")]
        media.append({path.read_bytes() for path in files if path.stat().st_size > 200})  # what is broken is a header
    assert len(media[0]) >= 24
    assert not media[0] & media[1]
