from math import log, tanh

import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.balancers.ogm_ge import OGMGE
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.types import Batch, Loaders

DIM = 100
NO_DATA = Loaders([], [], [])


class Affine(Encoder):
    """One linear layer."""

    feature_dim = DIM

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


def build(modalities: tuple[str, ...] = ("visual", "audio")) -> Model:
    torch.manual_seed(0)
    dims = dict.fromkeys(modalities, DIM)
    return Model({modality: Affine() for modality in modalities}, Concat(dims), Linear(dims, 2))


def coefficients(logits: dict[str, list[list[float]]], alpha: float) -> dict[str, float]:
    """k_m if the modalities alone say `logits`, for labels 0."""
    model = build(tuple(logits))
    model.masked = lambda output: {m: torch.tensor(z) for m, z in logits.items()}  # type: ignore[method-assign]
    batch = Batch({m: torch.randn(2, DIM) for m in logits}, torch.tensor([0, 0]), torch.arange(2))
    balancer = OGMGE(model, Joint({}, 2), alpha=alpha)
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


def gradients(balancer: Balancer, epoch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {m: torch.randn(16, DIM, generator=generator) for m in ("visual", "audio")}
    batch = Batch(inputs, torch.arange(16) % 2, torch.arange(16))
    balancer.start_epoch(epoch, NO_DATA)
    balancer.zero_grad()
    output = balancer(batch)
    balancer.backward(balancer.losses(output, batch), output, batch)
    return {key: p.grad.clone() for key, p in balancer.model.named_parameters() if p.grad is not None}


def test_encoder_weights_are_scaled_and_get_noise_of_their_own_spread() -> None:
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)
    balancer = OGMGE(build(), Joint({}, 2))
    k = {"visual": torch.tensor(0.2), "audio": torch.tensor(1.0)}
    balancer.coefficients = lambda output, labels: k  # type: ignore[method-assign]
    modulated = gradients(balancer, epoch=0)
    for modality in ("visual", "audio"):
        key = f"encoders.{modality}.linear.weight"
        noise = modulated[key] - k[modality] * plain[key]
        spread = plain[key].std()
        # 10,000 draws: standard error of the mean 1 % of the spread, of the standard deviation 0.7 %.
        assert noise.mean().abs() < 0.05 * spread
        assert noise.std().item() == pytest.approx(spread.item(), rel=0.05)


def test_biases_and_the_head_keep_the_gradients_of_joint_training() -> None:
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)
    modulated = gradients(OGMGE(build(), Joint({}, 2)), epoch=0)
    changed = {key for key in plain if not torch.equal(plain[key], modulated[key])}
    assert changed == {"encoders.visual.linear.weight", "encoders.audio.linear.weight"}


def test_gradients_are_modulated_from_start_to_the_epoch_before_end() -> None:
    plain = gradients(Balancer(build(), Joint({}, 2)), epoch=0)["encoders.audio.linear.weight"]
    balancer = OGMGE(build(), Joint({}, 2), start=1, end=3)
    modulated = [
        not torch.equal(gradients(balancer, epoch)["encoders.audio.linear.weight"], plain) for epoch in range(5)
    ]
    assert modulated == [False, True, True, False, False]


def test_the_epoch_is_part_of_the_state() -> None:
    balancer = OGMGE(build(), Joint({}, 2))
    balancer.start_epoch(7, NO_DATA)
    resumed = OGMGE(build(), Joint({}, 2))
    resumed.load_state_dict(balancer.state_dict())
    assert resumed.epoch == 7
