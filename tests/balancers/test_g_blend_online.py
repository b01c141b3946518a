import warnings
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers.blending import Losses, blend_weights, ogr
from avbalance.balancers.g_blend_online import GBlendOnline
from avbalance.configuration.signature import describe
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.base import objective
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.types import Batch, Loaders

DIMS = {"visual": 6, "audio": 4}
HEADS = ["joint", "visual", "audio"]


class Affine(Encoder):
    """One linear layer, which counts how often it runs, and dropout."""

    num_runs: ClassVar[dict[int, int]] = {}

    def __init__(self, dim: int, probability: float) -> None:
        super().__init__()
        self.feature_dim = dim
        self.linear = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(probability)

    def forward(self, inputs: Tensor) -> Tensor:
        self.num_runs[self.feature_dim] = self.num_runs.get(self.feature_dim, 0) + 1
        features: Tensor = self.dropout(self.linear(inputs))
        return features


class Clips:
    """Batches of clips in memory; shuffled by the number of the pass, if at all."""

    def __init__(self, batch: Batch, batch_size: int, shuffled: bool) -> None:
        self.batch, self.batch_size, self.shuffled = batch, batch_size, shuffled
        self.num_passes = 0

    def __len__(self) -> int:
        return -(-len(self.batch.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.arange(len(self.batch.labels))
        if self.shuffled:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(self.num_passes))
        self.num_passes += 1
        for index in order.split(self.batch_size):
            inputs = {modality: value[index] for modality, value in self.batch.inputs.items()}
            yield Batch(inputs, self.batch.labels[index], index)


def random_clips(num_clips: int, seed: int, several_classes: bool = False) -> Batch:
    """The label is that of the largest of the first three visual values, mostly; audio tells less."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {m: torch.randn(num_clips, dim, generator=generator) for m, dim in DIMS.items()}
    scores = inputs["visual"][:, :3] + 0.5 * inputs["audio"][:, :3]
    labels = (scores > 0).float() if several_classes else scores.argmax(dim=1)
    return Batch(inputs, labels, torch.arange(num_clips))


def build_loaders(several_classes: bool = False) -> Loaders:
    train, val = random_clips(20, 1, several_classes), random_clips(11, 2, several_classes)
    return Loaders(Clips(train, 8, True), Clips(train, 8, False), Clips(val, 8, False))


def build(probability: float = 0.0, seed: int = 0, **options: int) -> GBlendOnline:
    torch.manual_seed(seed)
    encoders = {m: Affine(dim, probability) for m, dim in DIMS.items()}
    return GBlendOnline(Model(encoders, Concat(DIMS), Linear(DIMS, 3)), Unimodal(DIMS, 3), **options).train()


def mean_loss(balancer: GBlendOnline, head: str, loader: Clips) -> float:
    """By one batch that holds all clips."""
    batch = loader.batch
    output = balancer.eval().model(batch.inputs)
    balancer.train()
    if head == "joint":
        return objective(output.logits, batch.labels).item()
    return objective(balancer.loss.heads[head]({head: output.features[head]}), batch.labels).item()


def reference(balancer: GBlendOnline, head: str, loaders: Loaders, optimizer: Any, num_epochs: int) -> Losses:  # noqa: ANN401
    """A head's trial in the whole model, of which one term of the loss is trained."""
    trial = deepcopy(balancer)
    start = [mean_loss(trial, head, loader) for loader in (loaders.plain, loaders.val)]
    own_optimizer = optimizer(trial.parameters())
    for _ in range(num_epochs):
        for batch in loaders.train:
            own_optimizer.zero_grad()
            trial.loss(trial.model(batch.inputs), batch.labels)[head].backward()
            own_optimizer.step()
    end = [mean_loss(trial, head, loader) for loader in (loaders.plain, loaders.val)]
    return Losses((start[0], end[0]), (start[1], end[1]))


OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.03, weight_decay=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


@pytest.mark.parametrize("several_classes", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_trial_trains_one_head_of_a_copy_with_the_given_optimizer(name: str, several_classes: bool) -> None:
    balancer, loaders, same = build(), build_loaders(several_classes), build_loaders(several_classes)
    found = balancer.estimate(2, loaders, OPTIMIZERS[name](balancer.parameters()))
    assert list(found) == HEADS
    for head in HEADS:
        expected = reference(balancer, head, same, OPTIMIZERS[name], num_epochs=2)
        assert found[head].train == pytest.approx(expected.train, rel=1e-5)
        assert found[head].val == pytest.approx(expected.val, rel=1e-5)
        assert found[head].train[1] < found[head].train[0]


def test_a_trial_starts_from_the_current_learning_rate() -> None:
    balancer, loaders, same = build(), build_loaders(), build_loaders()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=1.0)
    optimizer.param_groups[0]["lr"] = 0.01  # has decayed
    found = balancer.estimate(1, loaders, optimizer)["joint"]
    assert found.val == pytest.approx(
        reference(balancer, "joint", same, lambda p: torch.optim.SGD(p, lr=0.01), 1).val, rel=1e-5
    )


def test_trials_leave_model_loss_and_optimizer_as_they_were() -> None:
    balancer = build(probability=0.5)
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.1)
    balancer.start_epoch(0, build_loaders(), optimizer)
    fresh = build(probability=0.5).state_dict()
    for key, value in balancer.state_dict().items():
        if key.startswith(("model.", "loss.")):
            assert torch.equal(value, fresh[key]), key
    assert all(parameter.grad is None for parameter in balancer.parameters())
    assert all(module.training for module in balancer.modules())
    assert not optimizer.state


def test_a_modalitys_trial_runs_no_other_encoder() -> None:
    balancer, loaders = build(), build_loaders()
    balancer.heads = ["audio"]
    Affine.num_runs.clear()
    balancer.estimate(2, loaders, torch.optim.SGD(balancer.parameters()))
    # Train has 3 batches, val 2. All run before the trial: 5; then 2 epochs, and 5 batches to measure: 2 * 3 + 5.
    assert Affine.num_runs == {DIMS["visual"]: 5, DIMS["audio"]: 5 + 6 + 5}


def test_weights_and_ratios_follow_from_the_trials() -> None:
    balancer, same = build(first=2), build()
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.03)
    losses = same.estimate(2, build_loaders(), torch.optim.Adam(same.parameters(), lr=0.03))
    balancer.start_epoch(0, build_loaders(), optimizer)
    weights, fallback = blend_weights(losses)
    assert sum(weight > 0 for weight in weights.values()) > 1  # or all weights would be trivial
    curves = balancer.curves()
    for head in HEADS:
        assert curves[f"weight_{head}"] == pytest.approx(weights[head], rel=1e-6)
        assert curves[f"ogr_{head}"] == pytest.approx(ogr(losses[head]), rel=1e-6)
    assert curves["fallback"] == fallback == 0
    batch = random_clips(8, 3)
    output = balancer(batch)
    plain = balancer.loss(output, batch.labels)
    for head, term in balancer.losses(output, batch).items():
        assert term.item() == pytest.approx(weights[head] * plain[head].item(), rel=1e-5)


def test_super_epochs_start_as_their_lengths_say() -> None:
    balancer = build(first=3, then=2)
    asked: dict[int, int] = {}
    numbers = []

    def estimate(num_epochs: int, loaders: Loaders, optimizer: object) -> dict[str, Losses]:
        asked[epoch] = num_epochs
        return dict.fromkeys(HEADS, Losses((2.0, 1.0), (2.0, 1.5)))

    balancer.estimate = estimate  # type: ignore[method-assign,assignment]
    for epoch in range(9):
        balancer.start_epoch(epoch, build_loaders(), torch.optim.SGD(balancer.parameters()))
        numbers.append(balancer.curves()["super_epoch"])
    assert asked == {0: 3, 3: 2, 5: 2, 7: 2}
    assert numbers == [1, 1, 1, 2, 2, 3, 3, 4, 4]


def test_lengths_are_by_default_those_of_the_paper() -> None:
    options = describe("balancer", "g_blend_online").options
    assert options == {"first": ("Count", 10), "then": ("Count", 5)}


def test_without_a_head_that_generalises_weights_are_equal_and_a_warning_says_so() -> None:
    balancer = build(first=1, then=1)
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.0)  # no loss changes
    with pytest.warns(UserWarning, match="^g_blend_online: from epoch 5 no head generalises; equal weights$"):
        balancer.start_epoch(4, build_loaders(), optimizer)
    curves = balancer.curves()
    assert [curves[f"weight_{head}"] for head in HEADS] == pytest.approx([1 / 3] * 3)
    assert curves["fallback"] == 1
    optimizer.param_groups[0]["lr"] = 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        balancer.start_epoch(5, build_loaders(), optimizer)
    assert balancer.curves()["fallback"] == 0


def test_a_trial_that_diverges_costs_its_head_the_weight() -> None:
    balancer = build(first=1)
    with torch.no_grad():
        balancer.loss.heads["audio"].linear.weight.fill_(1e38)  # logits overflow: its loss is no number
    balancer.start_epoch(0, build_loaders(), torch.optim.SGD(balancer.parameters(), lr=0.05))
    curves = balancer.curves()
    assert curves["weight_audio"] == 0
    assert curves["weight_joint"] > 0
    assert curves["ogr_audio"] == float("inf")
    assert not any(value != value for value in curves.values())


def test_naive_training_is_what_the_joint_trial_reaches() -> None:
    balancer, loaders = build(first=2), build_loaders()
    naive = deepcopy(balancer)
    balancer.start_epoch(0, loaders, torch.optim.SGD(balancer.parameters(), lr=0.1))
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.1)
    same = build_loaders()
    for _ in range(2):
        for batch in same.train:
            optimizer.zero_grad()
            objective(naive.model(batch.inputs).logits, batch.labels).backward()
            optimizer.step()
    logits, labels = naive.model(loaders.val.batch.inputs).logits, loaders.val.batch.labels
    curves = balancer.curves()
    assert curves["naive_val_loss"] == pytest.approx(objective(logits, labels).item(), rel=1e-5)
    assert curves["naive_val_accuracy"] == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())


def test_there_is_no_accuracy_where_a_clip_has_several_classes() -> None:
    names = []
    for several_classes in (False, True):
        balancer = build(first=1)
        balancer.start_epoch(0, build_loaders(several_classes), torch.optim.SGD(balancer.parameters(), lr=0.1))
        assert all(value == value for value in balancer.curves().values())
        names.append(set(balancer.curves()))
    figures = {f"{what}_{head}" for what in ("weight", "ogr") for head in HEADS}
    figures |= {"fallback", "super_epoch", "naive_val_loss"}
    assert names == [figures | {"naive_val_accuracy"}, figures]


def test_under_autocast_trials_are_trained_by_the_weights_they_have_now() -> None:
    # One context around all steps would keep the first step's bfloat16 copies of the weights.
    balancer, loaders = build(), build_loaders()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        found = balancer.estimate(3, loaders, optimizer)["joint"]
    trial, same = deepcopy(balancer), build_loaders()
    own_optimizer = torch.optim.SGD(trial.parameters(), lr=0.3)
    for _ in range(3):
        for batch in same.train:
            own_optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                objective(trial.model(batch.inputs).logits, batch.labels).backward()
            own_optimizer.step()
    assert found.train[1] == pytest.approx(mean_loss(trial, "joint", same.plain), rel=1e-6)


def test_of_feature_maps_a_modalitys_head_reads_the_mean() -> None:
    class Maps(Affine):
        def forward(self, inputs: Tensor) -> Tensor:
            return self.linear(inputs)[:, :, None, None] * torch.arange(1.0, 7.0).view(2, 3)

    balancer = build()
    balancer.model.encoders["visual"] = Maps(DIMS["visual"], 0.0)
    batch = random_clips(5, 3)
    features = balancer.model.encoders["visual"](batch.inputs["visual"])
    expected = balancer.loss.heads["visual"]({"visual": features.mean(dim=(2, 3))})
    torch.testing.assert_close(balancer.copy_of("visual")(batch.inputs).logits, expected)


def train(balancer: GBlendOnline, optimizer: torch.optim.Optimizer, epochs: range) -> None:
    for epoch in epochs:
        torch.manual_seed(epoch)
        loaders = build_loaders()
        balancer.start_epoch(epoch, loaders, optimizer)
        for batch in balancer.batches(loaders.train):
            balancer.step(batch, optimizer)


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_resuming_within_or_between_super_epochs_changes_no_bit(stop: int) -> None:
    whole = build(probability=0.3, first=2, then=2)
    train(whole, torch.optim.Adam(whole.parameters(), lr=0.03), range(5))
    killed = build(probability=0.3, first=2, then=2)
    optimizer = torch.optim.Adam(killed.parameters(), lr=0.03)
    train(killed, optimizer, range(stop))
    resumed = build(probability=0.3, seed=9, first=2, then=2)
    resumed.load_state_dict(killed.state_dict())
    own_optimizer = torch.optim.Adam(resumed.parameters(), lr=0.03)
    own_optimizer.load_state_dict(optimizer.state_dict())
    train(resumed, own_optimizer, range(stop, 5))
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in whole.state_dict().items())
    assert whole.curves() == resumed.curves()
