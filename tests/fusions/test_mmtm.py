from math import log

import pytest
import torch
from torch import Tensor

from avbalance.model import Model, build_model
from avbalance.registry import load
from avbalance.training.epoch import counted_clips

LN3 = log(3)  # sigmoid(ln 3) = 0.75, sigmoid(-ln 3) = 0.25, sigmoid(0) = 0.5
SHAPES = {"audio": (40, 33), "visual": (3, 2, 40, 32)}


def build() -> Model:
    """Two networks of few channels, of a spectrogram and of two frames."""
    torch.manual_seed(0)
    settings = {"encoder": {m: {"resnet18": {"width": 4}} for m in SHAPES}, "fusion": "mmtm", "head": "linear"}
    return build_model(settings, {"num_classes": 3, "modalities": {m: {"shape": shape} for m, shape in SHAPES.items()}})


def clips(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {modality: torch.randn(4, *shape, generator=generator) for modality, shape in SHAPES.items()}


def test_gates_are_those_worked_by_hand() -> None:
    # s = [2, 1], e = relu(2 * 1 - 1 * 1 + 1) = 2; gates sigmoid(2 * ln3 / 2) = .75 and sigmoid(2 * -ln3 / 2) = .25
    fusion = load("fusion", "mmtm", {"audio": 1, "visual": 1})
    fusion.join({"audio": (1,), "visual": (1,)})
    (junction,) = fusion.junctions
    weights = {"V.weight": [[1, -1]], "V.bias": [1], "U.audio.weight": [[LN3 / 2]], "U.visual.weight": [[-LN3 / 2]]}
    biases = {"U.audio.bias": [0], "U.visual.bias": [0]}
    state = {key: torch.tensor(value).float() for key, value in (weights | biases).items()}
    junction.load_state_dict({**junction.state_dict(), **state})
    maps = {"audio": torch.tensor([[[[1.0, 3.0]]]]), "visual": torch.tensor([[[[[0.0, 2.0]]]]])}
    gated = junction(maps)
    torch.testing.assert_close(gated["audio"], 0.75 * maps["audio"])
    torch.testing.assert_close(gated["visual"], 0.25 * maps["visual"])
    torch.testing.assert_close(junction.mean_audio, torch.tensor([0.75]))  # the mean over this first step


def test_junctions_stand_behind_the_last_three_stages() -> None:
    model = build()
    dims = [{m: U_m.out_features for m, U_m in junction.U.items()} for junction in model.fusion.junctions]
    assert dims == [dict.fromkeys(SHAPES, channels) for channels in (8, 16, 32)]
    assert [junction.V.out_features for junction in model.fusion.junctions] == [8, 16, 32]


def test_open_gates_leave_the_encoders_as_they_are_alone() -> None:
    model, inputs = build().eval(), clips()
    for junction in model.fusion.junctions:
        for U_m in junction.U.values():
            torch.nn.init.constant_(U_m.bias, 100.0)
    for modality, features in model.encode(inputs).items():
        torch.testing.assert_close(features, model.encoders[modality](inputs[modality]))


@pytest.mark.parametrize(("place", "cared_for", "other"), [(0, "audio", "visual"), (1, "visual", "audio")])
def test_the_modality_that_is_cared_for_sees_its_own_input_alone(place: int, cared_for: str, other: str) -> None:
    inputs = clips()
    features = []
    for seed in (0, 1):
        model = build()
        model.encode(clips(2))  # the means take in a step
        model.fusion.care_for(torch.tensor(place))
        features.append(model.encode({**inputs, other: clips(seed)[other]}))
    assert torch.equal(features[0][cared_for], features[1][cared_for])
    model.fusion.care_for(torch.tensor(-1))
    free = [model.encode({**inputs, other: clips(seed)[other]})[cared_for] for seed in (0, 1)]
    assert not torch.equal(*free)
    model.eval()
    model.fusion.care_for(torch.tensor(place))
    evaluated = [model.encode({**inputs, other: clips(seed)[other]})[cared_for] for seed in (0, 1)]
    assert not torch.equal(*evaluated)  # constant in training alone


def test_means_are_over_all_training_steps_and_each_modality_has_its_own() -> None:
    model = build()
    junction = model.fusion.junctions[0]
    gates: list[dict[str, Tensor]] = []
    for m, U_m in junction.U.items():
        U_m.register_forward_hook(lambda _, __, output, m=m: gates.append({m: output.sigmoid().mean(dim=0)}))
    for seed in range(3):
        model.encode(clips(seed))
    for m in SHAPES:
        expected = torch.stack([each[m] for each in gates if m in each]).mean(dim=0)
        torch.testing.assert_close(junction.get_buffer(f"mean_{m}"), expected)
    before = {key: value.clone() for key, value in junction.state_dict().items()}
    model.eval().encode(clips(3))
    assert all(torch.equal(value, before[key]) for key, value in junction.state_dict().items())


def test_gates_are_float32_and_maps_keep_their_precision_under_autocast() -> None:
    model = build().eval()
    seen: list[Tensor] = []
    model.fusion.junctions[0].U["audio"].register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stages = model.encoders["audio"].stages(clips()["audio"])
        maps = next(stages)
        gated = model.fusion.junctions[0]({"audio": maps, "visual": maps})
    assert seen[0].dtype == torch.float32
    assert gated["audio"].dtype == maps.dtype


def test_clips_that_pass_the_encoders_in_parts_are_counted() -> None:
    model = build()
    counts = dict.fromkeys(SHAPES, 0)
    with counted_clips(model, counts):
        model.encode(clips())
        with torch.no_grad():
            model.encode(clips())
    assert counts == dict.fromkeys(SHAPES, 4)
