from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from avbalance import store
from avbalance.errors import UserError
from avbalance.model import build_model
from avbalance.training.pretrained import load_pretrained

SETTINGS = {
    "encoder": {"visual": {"resnet18": {"width": 64}}, "audio": {"resnet18": {"width": 64}}},
    "fusion": "concat",
    "head": "linear",
}
DESCRIPTION = {"num_classes": 3, "modalities": {"visual": {"shape": [3, 32, 32]}, "audio": {"shape": [32, 32]}}}


def published(folder: Path, step: str, write: Callable[[Path], Any]) -> str:
    with store.publish(folder, {"step": step}) as out:
        write(out)
    return str(folder)


def test_an_encoder_starts_from_torchvisions_layout(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    state = resnet18(weights=None).state_dict()
    folder = published(tmp_path / "raw", "prepare.download", lambda out: torch.save(state, out / "resnet18.pth"))
    built = build_model(SETTINGS, DESCRIPTION)
    before = built.encoders["audio"].state_dict()["conv1.weight"].clone()
    load_pretrained(built, {"data_audio": "elsewhere", "pretrained_visual": folder})
    loaded = built.encoders["visual"].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())
    assert torch.equal(built.encoders["audio"].state_dict()["conv1.weight"], before)


def test_an_encoder_starts_from_another_runs_encoder_of_the_same_modality(tmp_path: Path) -> None:
    other = build_model({**SETTINGS, "encoder": {"audio": SETTINGS["encoder"]["audio"]}}, DESCRIPTION)  # type: ignore[index]
    folder = published(
        tmp_path / "weights", "train", lambda out: save_file(other.state_dict(), out / "model.safetensors")
    )
    built = build_model(SETTINGS, DESCRIPTION)
    load_pretrained(built, {"pretrained_audio": folder})
    for name, value in other.encoders["audio"].state_dict().items():
        assert torch.equal(built.encoders["audio"].state_dict()[name], value), name


def test_weights_of_another_shape_are_refused_in_one_line(tmp_path: Path) -> None:
    narrow = {**SETTINGS, "encoder": {"audio": {"resnet18": {"width": 8}}}}
    other = build_model(narrow, DESCRIPTION)
    folder = published(
        tmp_path / "weights", "train", lambda out: save_file(other.state_dict(), out / "model.safetensors")
    )
    with pytest.raises(UserError, match=r"'conv1.weight' is \[8, 1, 7, 7\] there and \[64, 1, 7, 7\]") as error:
        load_pretrained(build_model(SETTINGS, DESCRIPTION), {"pretrained_audio": folder})
    assert "\n" not in str(error.value)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    folder = published(tmp_path / "raw", "prepare.download", lambda out: torch.save({"x": print}, out / "model.pth"))
    with pytest.raises(UserError, match=r"model.pth: is not a PyTorch file"):
        load_pretrained(build_model(SETTINGS, DESCRIPTION), {"pretrained_audio": folder})


@pytest.mark.parametrize("names", [[], ["a.pth", "b.pt"]])
def test_one_file_of_weights_is_expected(names: list[str], tmp_path: Path) -> None:
    def write(out: Path) -> None:
        (out / "about.txt").write_text("about", encoding="utf-8")
        for name in names:
            torch.save({}, out / name)

    folder = published(tmp_path / "raw", "prepare.download", write)
    with pytest.raises(UserError, match=rf"raw: expected one file of weights .*found {len(names)}"):
        load_pretrained(build_model(SETTINGS, DESCRIPTION), {"pretrained_audio": folder})


def test_a_head_starts_from_the_classifier_of_torchvision_or_from_another_runs_head(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    alone = {**SETTINGS, "encoder": {"visual": SETTINGS["encoder"]["visual"]}}  # type: ignore[index]
    reference = resnet18(weights=None, num_classes=3).eval()
    folder = published(
        tmp_path / "raw", "prepare.download", lambda out: torch.save(reference.state_dict(), out / "resnet18.pth")
    )
    built = build_model(alone, DESCRIPTION).eval()
    load_pretrained(built, {"pretrained_visual": folder, "pretrained_head": folder})
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(built({"visual": images}).logits, reference(images))
    weights = published(
        tmp_path / "weights", "train", lambda out: save_file(built.state_dict(), out / "model.safetensors")
    )
    again = build_model(alone, DESCRIPTION)
    load_pretrained(again, {"pretrained_head": weights})
    assert torch.equal(again.head.linear.weight, built.head.linear.weight)  # type: ignore[union-attr]
    four = build_model(alone, {**DESCRIPTION, "num_classes": 4})
    with pytest.raises(UserError, match=r"does not fit the head: .*size mismatch for linear.weight"):
        load_pretrained(four, {"pretrained_head": weights})
