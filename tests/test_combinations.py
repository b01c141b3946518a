"""What holds for every registered fusion x head x loss x balancer that may be combined, as their classes declare."""

import io
from collections.abc import Generator, Iterator, Mapping
from copy import deepcopy
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from avbalance import registry
from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe
from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.training.optimization import make_optimizer
from avbalance.types import Batch, Loaders

NUM_CLASSES = 3
NUM_CLIPS = 16
# Their sums differ from all other sizes, so that an axis as long as a sum holds all modalities (see `reorder`).
UNEQUAL = {"visual": 5, "audio": 4, "flow": 6}
EQUAL = dict.fromkeys(UNEQUAL, 5)
SIZES = {"hidden": 11, "dim": 7}
# Different, so that fusion inside the encoders has no choice between equal maps.
GRIDS = {"visual": (3, 4), "audio": (2, 3), "flow": (2, 2)}
# A super-epoch takes trials, so they are short; frozen encoders have no gradient.
BALANCER_OPTIONS: dict[str, dict[str, Any]] = {
    "fine_tuning": {"frozen_epochs": 0},
    "g_blend_online": {"first": 1, "then": 1},
    "midas": {"warmup": 0},
}
# With these the objective does not grow with the method's own state.
STEADY: dict[str, dict[str, Any]] = {"midas": {"warmup": 0, "eta": 0.0}}
IN_TURN = ("aug", "mla", "reconboost")  # these train the modalities one after the other, in their order
# Settings at which a method must be joint training with the same loss, bit for bit. g_blend_online has none: its
# weights are measured, and sum to 1.
NEUTRAL: dict[str, dict[str, Any]] = {
    "auxiliary_branch": {"weight": 0.0},
    "g_blend": {},  # all weights are 1
    "fine_tuning": {"frozen_epochs": 0, "scale": 1.0},
    "greedy": {"start": 2},
    "joint": {},
    "masked_losses": {"gamma": 0.0},
    "midas": {"lam": 0.0, "warmup": 0},
    "modality_dropout": {"probability": 0.0},
    "mslr": {},  # rates of 1, and accuracies that do not change
    "opm": {"p_exe": 0.0, "warmup": 0},
    "pmr": {"alpha": 0.0},
    "relearning": {},  # the first epochs
    "umt": {"lam": 0.0},
    "valuation": {},  # the first epochs
    "ogm": {"alpha": 0.0},
    "ogm_ge": {"start": 1, "end": 1},
}
TASKS = ("single_label", "multi_label")  # verification has single labels too

FUSIONS, HEADS, LOSSES, BALANCERS = (
    {name: registry.find(kind, name) for name in registry.registered(kind)} for kind in registry.METHODS_OF_ROW
)
PAIRS = list(product(FUSIONS, BALANCERS))
DEFINED = [
    (loss, balancer, task)
    for loss, balancer, task in product(LOSSES, BALANCERS, TASKS)
    if task in LOSSES[loss].tasks
    and task in BALANCERS[balancer].tasks
    and loss in (BALANCERS[balancer].requires_loss or LOSSES)
]

pytestmark = pytest.mark.filterwarnings("ignore:g_blend_online")  # on few clips at times no head generalises


class Affine(Encoder):
    """One linear layer, which is also an auxiliary branch; of maps, times a number for each position."""

    has_maps = True
    branch_layer = "linear"

    def __init__(self, num_inputs: int, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.feature_dim = self.branch_dim = dim
        self.stage_dims = (dim,)
        self.linear = nn.Linear(num_inputs, dim)
        self.positions = torch.linspace(-1, 2, grid[0] * grid[1]).view(grid)
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return self.maps(features) if self.is_cut else features

    def maps(self, features: Tensor) -> Tensor:
        return torch.tanh(features[:, :, None, None] * self.positions)

    def stages(self, inputs: Tensor) -> Generator[Tensor, Tensor, None]:
        maps = yield self.maps(self.linear(inputs))
        yield maps.mean(dim=(2, 3))


class Methods(NamedTuple):
    """What is combined, and the modalities in their order."""

    fusion: str
    head: str
    loss: str
    balancer: str
    task: str
    modalities: tuple[str, ...] = ("visual", "audio")


def heads_of(balancer: str) -> list[str]:
    """All heads with joint training, and one with other methods: their own or a linear one."""
    return list(HEADS) if balancer == "joint" else [(*BALANCERS[balancer].requires_head, "linear")[0]]


def fusions_of(balancer: str) -> list[str]:
    """All fusions that a method can be trained with."""
    method = BALANCERS[balancer]
    return [
        f
        for f in method.requires_fusion or FUSIONS
        if not (method.keeps_apart and FUSIONS[f].mixes)
        and not (method.keeps_encoders_apart and FUSIONS[f].joins_stages)
    ]


def combinations(fusion: str, balancer: str) -> list[Methods]:
    """Of two modalities all that are defined, and where three are, of three."""
    if fusion not in fusions_of(balancer):
        return []
    of_two = [
        Methods(fusion, head, loss, balancer, task)
        for loss, same, task in DEFINED
        if same == balancer
        for head in heads_of(balancer)
    ]
    if FUSIONS[fusion].two_modalities or BALANCERS[balancer].two_modalities:
        return of_two
    return of_two + [methods._replace(modalities=("visual", "audio", "flow")) for methods in of_two]


def combinations_of_two(fusion: str, balancer: str) -> list[Methods]:
    """For what more modalities make no difference to."""
    return [methods for methods in combinations(fusion, balancer) if len(methods.modalities) == 2]


def small(kind: str, name: str) -> dict[str, dict[str, int]]:
    """A specification with layers of few units."""
    return {name: {option: size for option, size in SIZES.items() if option in describe(kind, name).options}}


def build(methods: Methods, seed: int = 0, options: Mapping[str, Any] | None = None) -> Balancer:
    """A balancer in training mode; where it reads a blend, all weights are 1."""
    torch.manual_seed(seed)
    is_equal = any(
        each.equal_dims for each in (FUSIONS[methods.fusion], HEADS[methods.head], BALANCERS[methods.balancer])
    )
    dims = {m: (EQUAL if is_equal else UNEQUAL)[m] for m in methods.modalities}
    encoders = {m: Affine(UNEQUAL[m], dim, GRIDS[m]) for m, dim in dims.items()}
    if FUSIONS[methods.fusion].reads_maps:
        for encoder in encoders.values():
            encoder.cut()
    fusion = registry.load("fusion", small("fusion", methods.fusion), dims)
    if fusion.joins_stages:
        fusion.join({m: encoder.stage_dims for m, encoder in encoders.items()})
    head = registry.load("head", small("head", methods.head), fusion.streams, NUM_CLASSES)
    loss = registry.load("loss", small("loss", methods.loss), dims, NUM_CLASSES)
    chosen = BALANCER_OPTIONS.get(methods.balancer, {}) if options is None else options
    balancer: Balancer = registry.load("balancer", {methods.balancer: chosen}, Model(encoders, fusion, head), loss)
    balancer.expect(NUM_CLIPS)
    if balancer.uses_teachers:
        balancer.receive_teachers({m: alone(m, encoders[m]) for m in methods.modalities})
    if balancer.uses_blend:
        values = dict.fromkeys(["joint", *dims], 1.0)
        balancer.receive({"weights": values, "ogr": values, "fallback": False})
    return balancer.train()


def alone(modality: str, encoder: Affine) -> Model:
    """A model of one modality whose encoder is a copy, as a teacher is."""
    fusion = registry.load("fusion", "concat", {modality: encoder.feature_dim})
    head = registry.load("head", "linear", fusion.streams, NUM_CLASSES)
    model = Model({modality: deepcopy(encoder)}, fusion, head)
    for weight in model.parameters():
        weight.data = torch.linspace(-1, 1, weight.numel()).view_as(weight)  # not the student's
    return model.eval().requires_grad_(False)


@cache
def clips(task: str, num_clips: int = 8, seed: int = 1, constant: bool = False) -> Batch:
    """Clips of all modalities; labels follow from the visual ones. Where constant, audio never changes."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {m: torch.randn(num_clips, dim, generator=generator) for m, dim in UNEQUAL.items()}
    scores = inputs["visual"][:, :NUM_CLASSES]
    if constant:
        inputs["audio"] = torch.zeros_like(inputs["audio"])
    labels = scores.argmax(dim=1) if task == "single_label" else (scores > 0).float()
    return Batch(inputs, labels, torch.arange(num_clips))


class Shuffled:
    """Batches of clips in another order in every pass."""

    def __init__(self, batch: Batch, seed: int) -> None:
        self.batch, self.seed = batch, seed

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Batch]:
        self.seed += 1
        order = torch.randperm(len(self.batch.labels), generator=torch.Generator().manual_seed(self.seed))
        for index in order.chunk(len(self)):
            inputs = {modality: value[index] for modality, value in self.batch.inputs.items()}
            yield Batch(inputs, self.batch.labels[index], index)


def adam(balancer: Balancer, learning_rate: float = 0.003) -> torch.optim.Adam:
    return torch.optim.Adam(balancer.parameters(), lr=learning_rate, fused=True)


def train(balancer: Balancer, task: str, epochs: range, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Train as a run does; returns the last epoch's curves."""
    for epoch in epochs:
        torch.manual_seed(epoch)
        loaders = Loaders(Shuffled(clips(task), 10 * epoch), [clips(task)], [clips(task, seed=2)])
        balancer.start_epoch(epoch, loaders, optimizer)
        for batch in balancer.batches(loaders.train):
            balancer.step(batch, optimizer)
    return balancer.curves()


def assert_same_bits(first: Balancer, second: Balancer, methods: Methods) -> None:
    """All that the first has; NaN, an accuracy that is not defined, is the same as NaN."""
    others = second.state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value.nan_to_num(-1), others[key].nan_to_num(-1)), (methods, key)


def test_every_combination_that_the_declarations_admit_is_tested() -> None:
    """Counted by the attributes as the configuration reads them: from the source, without the classes."""
    declared = {
        kind: [describe(kind, name).attributes | {"name": name} for name in methods]
        for kind, methods in (("fusion", FUSIONS), ("loss", LOSSES), ("balancer", BALANCERS))
    }
    expected = 0
    for fusion, loss, balancer in product(*declared.values()):
        if balancer["requires_loss"] and loss["name"] not in balancer["requires_loss"]:
            continue
        tasks = {"single_label", "multi_label"} & {*loss["tasks"]} & {*balancer["tasks"]}
        if balancer["keeps_apart"] and fusion["mixes"]:
            continue
        if balancer["keeps_encoders_apart"] and fusion["joins_stages"]:
            continue
        if balancer["requires_fusion"] and fusion["name"] not in balancer["requires_fusion"]:
            continue
        num_sizes = 1 if fusion["two_modalities"] or balancer["two_modalities"] else 2
        expected += (len(HEADS) if balancer["name"] == "joint" else 1) * len(tasks) * num_sizes
    tested = [methods for pair in PAIRS for methods in combinations(*pair)]
    assert len(tested) == len(set(tested)) == expected
    assert expected > 1000


TRAINING = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "clip_norm": 1.0}


@pytest.mark.parametrize(("fusion", "balancer"), PAIRS)
@pytest.mark.parametrize(("num_clips", "constant"), [(1, False), (8, True)])
def test_a_step_keeps_every_number_finite(fusion: str, balancer: str, num_clips: int, constant: bool) -> None:
    for methods in combinations(fusion, balancer):
        built, batch = build(methods), clips(methods.task, num_clips, constant=constant)
        optimizer = make_optimizer(built.groups(), TRAINING)
        built.start_epoch(0, Loaders([batch], [batch], [batch]), optimizer)
        terms = built.step(batch, optimizer)
        assert all(value.isfinite() for value in terms.values()), methods
        for key, parameter in built.named_parameters():
            if parameter.grad is None and balancer in IN_TURN:
                continue  # an encoder whose turn it is not
            assert parameter.grad is not None, (methods, key)
            assert parameter.grad.isfinite().all(), (methods, key)
            assert parameter.isfinite().all(), (methods, key)
        assert all(value == value for value in built.curves().values()), methods


def objective(balancer: Balancer, batch: Batch) -> float:
    """What the balancer descends, without what is random in it."""
    balancer.model.head.eval()  # no dropout; what a fusion standardises it standardises as in training
    torch.manual_seed(0)
    with torch.no_grad():
        total = sum(value.item() for value in balancer.losses(balancer.model(batch.inputs), batch).values())
    balancer.train()
    return total


@pytest.mark.parametrize(("fusion", "balancer"), PAIRS)
def test_the_objective_falls(fusion: str, balancer: str) -> None:
    for methods in combinations_of_two(fusion, balancer):
        built, batch = build(methods, options=STEADY.get(balancer)), clips(methods.task, 16)
        optimizer = adam(built)
        built.start_epoch(0, Loaders([batch], [batch], [batch]), optimizer)
        before = objective(built, batch)
        for _ in range(5):
            built.step(batch, optimizer)
        assert objective(built, batch) < before, methods


@pytest.mark.parametrize(("fusion", "balancer"), [(f, b) for f, b in PAIRS if b == "joint" or f == fusions_of(b)[0]])
def test_the_same_seed_gives_the_same_bits(fusion: str, balancer: str) -> None:
    """A fusion's draws do not depend on the balancer, nor a balancer's on the fusion, so pairs would show no more."""
    for methods in combinations_of_two(fusion, balancer):
        if methods.task != "single_label":
            continue  # the task changes no draw
        first, second = build(methods), build(methods)
        curves = [train(built, methods.task, range(1), adam(built)) for built in (first, second)]
        assert_same_bits(first, second, methods)
        assert curves[0] == curves[1], methods


def reorder(state: Mapping[str, Tensor], given: Balancer, wanted: Balancer) -> dict[str, Tensor]:
    """Weights of one order of the modalities as weights of another.

    A weight that is named by its modality stays what it is; so does one whose name ends in a fusion's own letter for a
    modality. An axis as long as all modalities together is cut into blocks, which change places.
    """
    names = [key for key in state if key.startswith(("model.", "loss.", "heads."))]
    lengths = [{m: encoder.feature_dim for m, encoder in given.model.encoders.items()}, given.model.fusion.streams]
    order = list(wanted.model.encoders)
    letters = {
        f"_{letter}.": f"_{next(own for own, same in vars(given.model.fusion).items() if same == modality)}."
        for letter, modality in vars(wanted.model.fusion).items()
        if isinstance(modality, str) and modality in order
    }
    reordered = {}
    for key in names:
        source = key
        for letter, own in letters.items():
            if key.startswith("model.fusion.") and letter in key:
                source = key.replace(letter, own)
                break
        value = state[source]
        if key == "model.fusion.W" and value.shape != wanted.state_dict()[key].shape:
            value = value.transpose(1, 2)  # bilinear: an axis for each of its two modalities
        for axis, size in enumerate(value.shape):
            for sizes in lengths:
                if set(sizes) == set(order) and size == sum(sizes.values()):
                    blocks = dict(zip(sizes, value.split(list(sizes.values()), dim=axis), strict=True))
                    value = torch.cat([blocks[m] for m in order], dim=axis)
                    break
        reordered[key] = value
    return reordered


@pytest.mark.parametrize(("fusion", "balancer"), PAIRS)
def test_modalities_in_another_order_give_the_same_in_that_order(
    fusion: str, balancer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for methods in combinations(fusion, balancer) if balancer not in IN_TURN else ():
        is_equal = HEADS[methods.head].equal_dims or (BALANCERS[balancer].equal_dims and fusion != "concat")
        if methods.task != "single_label" or is_equal:
            continue  # the task knows no modalities; axes of equal lengths do not tell them apart
        given = build(methods)
        wanted = build(methods._replace(modalities=methods.modalities[1:] + methods.modalities[:1]), seed=1)
        wanted.load_state_dict({**wanted.state_dict(), **reorder(given.state_dict(), given, wanted)})
        train, val = clips(methods.task), clips(methods.task, seed=2)
        curves = []
        for built in (given, wanted):
            if methods.head == "dropout":
                built.model.head.probability = 0.0
            with monkeypatch.context() as without_chance:
                for draw in ("rand", "randn"):  # all the same, for they fall on modalities in their order
                    without_chance.setattr(torch, draw, lambda *size, device: torch.ones(*size))
                without_chance.setattr(torch, "randperm", torch.arange)
                if hasattr(built, "draw"):  # its own noise
                    without_chance.setattr(built, "draw", lambda size, device: torch.ones(size))
                optimizer = torch.optim.SGD(built.parameters(), lr=0.1)
                built.start_epoch(0, Loaders([train], [train], [val]), optimizer)
                built.step(train, optimizer)
            curves.append(built.curves())
        expected = reorder(given.state_dict(), given, wanted)
        found = wanted.state_dict()
        for key, value in expected.items():
            assert torch.allclose(found[key], value, rtol=1e-3, atol=1e-5), (methods, key)
        # Blend weights are ratios of small differences of losses.
        assert curves[1] == pytest.approx(curves[0], rel=0.02, abs=1e-3), methods


@pytest.mark.parametrize(("loss", "balancer", "task"), DEFINED)
def test_a_resumed_training_gives_the_same_bits(loss: str, balancer: str, task: str) -> None:
    options = {"first": 2, "then": 1} if balancer == "g_blend_online" else None  # killed within a super-epoch
    for fusion in {"concat", "mid_concat", "mmtm"} & {*fusions_of(balancer)}:
        methods = Methods(fusion, heads_of(balancer)[-1], loss, balancer, task)
        whole, killed, resumed = (build(methods, seed, options) for seed in (0, 0, 5))
        curves = train(whole, task, range(4), adam(whole))
        optimizer = adam(killed)
        train(killed, task, range(1), optimizer)
        file = io.BytesIO()
        torch.save([killed.state_dict(), optimizer.state_dict()], file)
        file.seek(0)
        states = torch.load(file, weights_only=True)
        resumed.load_state_dict(states[0])
        optimizer = adam(resumed)
        optimizer.load_state_dict(states[1])
        assert train(resumed, task, range(1, 4), optimizer) == curves
        assert_same_bits(whole, resumed, methods)


@pytest.mark.parametrize(("loss", "balancer", "task"), [case for case in DEFINED if case[1] in NEUTRAL])
def test_neutral_settings_are_joint_training_bit_for_bit(loss: str, balancer: str, task: str) -> None:
    for fusion in {"concat", "mid_concat", "mmtm"} & {*fusions_of(balancer)}:
        methods = Methods(fusion, "linear", loss, balancer, task)
        neutral, joint = build(methods, options=NEUTRAL[balancer]), build(methods._replace(balancer="joint"))
        for built in (neutral, joint):
            train(built, task, range(2), adam(built))
        assert_same_bits(joint, neutral, methods)
