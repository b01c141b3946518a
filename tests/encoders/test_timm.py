"""Backbones of timm as encoders."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from avbalance import requirements, store
from avbalance.configuration import signature
from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.model import build_model
from avbalance.registry import load
from avbalance.requirements import Combination
from avbalance.training.pretrained import load_pretrained

SMALL = {
    "test_resnet": (1, 40, 50),
    "test_vit": (2, 32, 48),
    "mobilenetv3_small_050": (3, 40, 50),
    "convnext_atto": (1, 64, 40),
    "levit_128s": (3, 224, 224),  # two classifiers, one of them of distillation
}


def build(name: str, shape: tuple[int, ...]) -> Encoder:
    torch.manual_seed(0)
    encoder: Encoder = load("encoder", {"timm": {"name": name}}, shape)
    return encoder


@pytest.mark.parametrize("name", SMALL)
def test_a_backbone_gives_features_and_gets_gradients_in_float32_and_bfloat16(name: str) -> None:
    encoder = build(name, SMALL[name])
    inputs = torch.randn(3, *SMALL[name])
    encoder(inputs).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in encoder.parameters())
    exact = encoder.eval()(inputs)
    assert exact.shape == (3, encoder.feature_dim)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(inputs).float()
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", SMALL)
def test_it_counts_the_operations_of_timms_own_network(name: str) -> None:
    shape = SMALL[name]
    options: dict[str, Any] = {"img_size": shape[1:]} if "vit" in name and name != "levit_128s" else {}
    own = timm.create_model(name, num_classes=0, in_chans=shape[0], **options).eval()
    counts = []
    for network in (build(name, shape).eval(), own):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, *shape))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_features_of_frames_are_averaged() -> None:
    encoder = build("test_resnet", (3, 4, 32, 32)).eval()
    video = torch.randn(2, 3, 4, 32, 32)
    image = build("test_resnet", (3, 32, 32)).eval()
    image.load_state_dict(encoder.state_dict())
    frames = torch.stack([image(video[:, :, number]) for number in range(4)])
    torch.testing.assert_close(encoder(video), frames.mean(dim=0))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_it_starts_from_a_brought_file_of_timms_layout(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"img_size": (64, 64)} if name == "test_vit" else {}
    published = timm.create_model(name, **options)  # 1,000 classes, three channels
    with store.publish(tmp_path / "raw", {"step": "download"}) as out:
        save_file(published.state_dict(), out / "trained.safetensors")
    settings = {"encoder": {"audio": {"timm": {"name": name}}}, "fusion": "concat", "head": "linear"}
    model = build_model(settings, {"num_classes": 3, "modalities": {"audio": {"shape": [64, 64]}}})
    load_pretrained(model, {"pretrained_audio": str(tmp_path / "raw")})
    loaded = model.encoders["audio"].state_dict()
    stem = "backbone.patch_embed.proj.weight" if name == "test_vit" else "backbone.conv1.0.weight"
    theirs = published.state_dict()
    for key, value in loaded.items():
        if key != stem:
            assert torch.equal(value, theirs[key.removeprefix("backbone.")]), key
    # timm adds up the channels, so that a grey picture gives the same activations.
    torch.testing.assert_close(loaded[stem], theirs[stem.removeprefix("backbone.")].sum(dim=1, keepdim=True))


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    with store.publish(tmp_path / "raw", {"step": "download"}) as out:
        save_file(timm.create_model("test_efficientnet").state_dict(), out / "trained.safetensors")
    settings = {"encoder": {"audio": {"timm": {"name": "test_resnet"}}}, "fusion": "concat", "head": "linear"}
    model = build_model(settings, {"num_classes": 3, "modalities": {"audio": {"shape": [64, 64]}}})
    with pytest.raises(UserError, match=r"raw: does not fit the encoder of 'audio': ") as error:
        load_pretrained(model, {"pretrained_audio": str(tmp_path / "raw")})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.a1_in1k", r"found 'resnet18\.a1_in1k'; allowed: an architecture of timm .*such as .*resnet18"),
        ("hf-hub:somebody/model", "found 'hf-hub:somebody/model'; allowed: an architecture"),
        ("resnet_18", "found 'resnet_18'; allowed"),
        ("test_vit", r"'test_vit' cannot read \[40, 50\]: .*40.*"),
    ],
)
def test_a_name_that_cannot_be_built_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build(name, (40, 50))
    assert "\n" not in str(error.value)


def test_there_is_no_option_that_makes_timm_download() -> None:
    with pytest.raises(UserError, match=r"'timm' has no option 'pretrained'"):
        signature.resolve("encoder", {"timm": {"name": "resnet18", "pretrained": True}})


def test_a_row_without_the_package_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avbalance.requirements.is_installed", lambda name: False)
    declared = signature.describe("encoder", "timm").attributes
    with pytest.raises(UserError, match=r"needs the package `timm`, found no 'timm'; .* pip install -e '\.\[timm\]'"):
        requirements.check("encoder", "timm", declared, Combination({}))


def test_other_steps_do_not_import_it() -> None:
    code = "import sys, avbalance.train, avbalance.probe, avbalance.encoders.timm; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
