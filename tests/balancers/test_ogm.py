from math import log, tanh

import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.balancers.ogm import OGM
from avbalance.encoders.base import Encoder
from avbalance.fusions.base import Fusion
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.types import Batch, Loaders

DIM = 6
NO_DATA = Loaders([], [], [])
NO_OPTIMIZER = torch.optim.SGD([torch.zeros(1)])


class Affine(Encoder):
    """One linear layer."""

    feature_dim = DIM

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


class Standardised(Fusion):
    """Features are added and standardised over the batch."""

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = {"joint": DIM}
        self.norm = nn.BatchNorm1d(DIM)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"joint": self.norm(torch.stack(list(features.values())).sum(dim=0))}


def build(modalities: tuple[str, ...] = ("visual", "audio"), fusion: type[Fusion] = Concat) -> Model:
    torch.manual_seed(0)
    joined = fusion(dict.fromkeys(modalities, DIM))
    return Model({modality: Affine() for modality in modalities}, joined, Linear(joined.streams, 2))


def coefficients(logits: dict[str, list[list[float]]], alpha: float) -> dict[str, float]:
    """k_m if the modalities alone say `logits`, for labels 0."""
    model = build(tuple(logits))
    model.masked = lambda output: {m: torch.tensor(z) for m, z in logits.items()}  # type: ignore[method-assign]
    batch = Batch({m: torch.randn(2, DIM) for m in logits}, torch.tensor([0, 0]), torch.arange(2))
    balancer = OGM(model, Joint({}, 2), alpha=alpha)
    return {m: k.item() for m, k in balancer.coefficients(balancer(batch), batch.labels).items()}


def test_coefficients_are_those_worked_by_hand() -> None:
    # softmax([ln 3, 0])[0] = 3 / 4, softmax([0, 0])[0] = 1 / 2; s_visual = 3/4 + 3/4, s_audio = 1/2 + 1/2.
    # rho_visual = 1.5, k = 1 - tanh(0.8 * 1.5); rho_audio = 1 / 1.5 < 1, k = 1.
    found = coefficients({"visual": [[log(3), 0], [log(3), 0]], "audio": [[0.0, 0], [0, 0]]}, alpha=0.8)
    assert found == pytest.approx({"visual": 1 - tanh(1.2), "audio": 1})


def test_of_three_modalities_each_is_compared_with_the_mean_of_the_others() -> None:
    # s = 2 * [3/4, 1/2, 1/4]; rho_visual = 1.5 / mean(1, .5) = 2, rho_audio = 1 / mean(1.5, .5) = 1, not above 1.
    found = coefficients(
        {
            "visual": [[log(3), 0], [log(3), 0]],
            "audio": [[0.0, 0], [0, 0]],
            "flow": [[-log(3), 0], [-log(3), 0]],
        },
        alpha=0.5,
    )
    assert found == pytest.approx({"visual": 1 - tanh(1.0), "audio": 1, "flow": 1}, abs=1e-6)


def test_equally_confident_modalities_are_left_alone() -> None:
    assert coefficients({"visual": [[0.0, 0], [0, 0]], "audio": [[1.0, 1], [1, 1]]}, alpha=0.8) == {
        "visual": 1,
        "audio": 1,
    }


@pytest.mark.parametrize(
    ("visual", "expected"), [([0.0, 0], {"visual": 0, "audio": 1}), ([-1000.0, 0], {"visual": 1, "audio": 1})]
)
def test_a_modality_that_is_never_right_gives_finite_coefficients(
    visual: list[float], expected: dict[str, float]
) -> None:
    # exp(-1000) is 0 in float32, so s_audio = 0. Where s_visual = 1, rho_visual is huge and k = 1 - tanh(huge) = 0.
    assert coefficients({"visual": [visual] * 2, "audio": [[-1000.0, 0]] * 2}, alpha=0.8) == expected


def batch_of(num_clips: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = {m: torch.randn(num_clips, DIM, generator=generator) for m in ("visual", "audio")}
    return Batch(inputs, torch.arange(num_clips) % 2, torch.arange(num_clips))


def gradients(balancer: Balancer, epoch: int) -> dict[str, Tensor]:
    batch = batch_of()
    balancer.start_epoch(epoch, NO_DATA, NO_OPTIMIZER)
    balancer.zero_grad()
    output = balancer(batch)
    balancer.backward(balancer.losses(output, batch), output, batch)
    return {key: p.grad.clone() for key, p in balancer.model.named_parameters() if p.grad is not None}


def fix_coefficients(balancer: OGM, visual: float, audio: float) -> OGM:
    k = {"visual": torch.tensor(visual), "audio": torch.tensor(audio)}
    balancer.coefficients = lambda output, labels: k  # type: ignore[method-assign]
    return balancer


def test_encoder_weights_are_scaled_and_nothing_else_changes() -> None:
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)
    modulated = gradients(fix_coefficients(OGM(build(), Joint({}, 2)), 0.25, 1.0), epoch=0)
    plain["encoders.visual.linear.weight"] *= 0.25
    assert modulated.keys() == plain.keys()
    assert all(torch.equal(modulated[key], plain[key]) for key in plain)


def test_gradients_are_modulated_from_start_to_the_epoch_before_end() -> None:
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)["encoders.audio.linear.weight"]
    balancer = fix_coefficients(OGM(build(), Joint({}, 2), start=1, end=3), 1.0, 0.5)
    modulated = [
        not torch.equal(gradients(balancer, epoch)["encoders.audio.linear.weight"], plain) for epoch in range(5)
    ]
    assert modulated == [False, True, True, False, False]


def test_by_default_the_epochs_0_to_50_are_modulated_as_in_the_authors_code() -> None:
    # main.py of GeWu-Lab/OGM-GE_CVPR2022: modulation_starts 0 <= epoch <= modulation_ends 50
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)["encoders.audio.linear.weight"]
    balancer = fix_coefficients(OGM(build(), Joint({}, 2)), 1.0, 0.5)
    found = [gradients(balancer, epoch)["encoders.audio.linear.weight"] for epoch in range(55)]
    assert [torch.equal(gradient, 0.5 * plain) for gradient in found] == [True] * 51 + [False] * 4


def test_curves_are_the_mean_coefficients_of_the_epoch() -> None:
    balancer = OGM(build(), Joint({}, 2), start=1)
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.0)

    def train_epoch(epoch: int, audio: list[float]) -> dict[str, float]:
        balancer.start_epoch(epoch, NO_DATA, optimizer)
        for k in audio:
            fix_coefficients(balancer, 1.0, k).step(batch_of(), optimizer)
        return balancer.curves()

    assert train_epoch(0, [0.5]) == {"coefficient_visual": 1, "coefficient_audio": 1}  # not modulated yet
    assert train_epoch(1, [0.5, 0.25]) == {"coefficient_visual": 1, "coefficient_audio": 0.375}
    assert train_epoch(2, [0.125]) == {"coefficient_visual": 1, "coefficient_audio": 0.125}


def test_masking_features_moves_no_running_mean() -> None:
    found = []
    for method in (Balancer, OGM):
        balancer = method(build(fusion=Standardised), Joint({}, 2)).train()
        gradients(balancer, epoch=0)
        assert all(module.training for module in balancer.modules())
        found.append(balancer.model.fusion.state_dict())
    assert found[0]["norm.num_batches_tracked"] == 1
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_a_frozen_encoder_is_no_obstacle() -> None:
    model = build()
    model.encoders["visual"].requires_grad_(False)
    assert set(gradients(OGM(model, Joint({}, 2)), epoch=0)) == {
        "encoders.audio.linear.weight",
        "encoders.audio.linear.bias",
        "head.linear.weight",
        "head.linear.bias",
    }


def test_it_is_defined_where_a_clip_has_one_class() -> None:
    assert OGM.tasks == ("single_label", "verification")
