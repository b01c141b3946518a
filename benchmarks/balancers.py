"""What does a balancing method cost over joint training?

A step: forward, loss, backward and Adam on one batch in memory, float32, concatenation and a linear head, or what the
method requires; of ResNet-18 at width 16 on GRID's log-mel and stacked frames (batch 32), of AV-MNIST's Conv1Net and
Conv2Net (batch 64), and, where asked for, of ResNet-18 at width 64 on CREMA-D's spectrograms and two frames (batch 16;
2 s a step). Every registered balancer that fits the encoders is trained with the loss it needs, else with the joint
one, and joint training with every loss. Ratios are to joint training with the joint loss, and with the method's own
loss: auxiliary heads cost what they cost without it. The step is of the second epoch, before warm-ups have ended.

A super-epoch: `start_epoch` and 5 epochs, as in G-Blend after the first 10, as a ratio to the same epochs of
joint training; there online G-Blend estimates its weights.
"""

import argparse
from collections.abc import Callable
from statistics import median

import torch
from measure import alternate, print_conditions, print_table, ratio
from torch import Tensor

from avbalance import cli
from avbalance.balancers import REGISTRY
from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe, feature_dim
from avbalance.losses import REGISTRY as LOSSES
from avbalance.registry import Spec, parse
from avbalance.train import build_balancer
from avbalance.types import Batch, Loaders

NUM_CLASSES = 10
# {model: ({modality: (encoder, shape)}, batch size)}
MODELS: dict[str, tuple[dict[str, tuple[Spec, tuple[int, ...]]], int]] = {
    "GRID": (
        {
            "audio": ({"resnet18": {"width": 16}}, (40, 62)),
            "visual": ({"resnet18": {"width": 16, "frames": "stacked"}}, (1, 16, 64, 64)),
        },
        32,
    ),
    "AV-MNIST": ({"audio": ("conv1net", (8000,)), "visual": ("conv2net", (1, 28, 28))}, 64),
    "CREMA-D": ({"audio": ("resnet18", (257, 188)), "visual": ("resnet18", (3, 2, 224, 224))}, 16),
}
SUPER_EPOCH = ("joint", "g_blend", "g_blend_online")


def chosen(name: str, kind: str, otherwise: str) -> str:
    """The fusion, head or loss that a balancer requires, else another one."""
    required: tuple[str, ...] = describe("balancer", name).attributes[f"requires_{kind}"]
    return (*required, otherwise)[0]


def loss_of(name: str) -> str:
    return chosen(name, "loss", "joint")


def fits(model: str, name: str) -> bool:
    """True if the encoders have maps and equal lengths where the balancer's fusion and head need them."""
    fusion, head = (chosen(name, kind, usual) for kind, usual in (("fusion", "concat"), ("head", "linear")))
    encoders = [parse(encoder)[0] for encoder, _ in MODELS[model][0].values()]
    has_maps = all(describe("encoder", each).attributes["has_maps"] for each in encoders)
    needs_maps = describe("fusion", fusion).attributes["joins_stages"]
    needs_branch = describe("balancer", name).attributes["needs_branch"]
    has_equal = len({feature_dim(encoder) for encoder, _ in MODELS[model][0].values()}) == 1
    needs_equal = any(describe(*each).attributes["equal_dims"] for each in (("head", head), ("balancer", name)))
    return (has_maps or not needs_maps) and (has_equal or not needs_equal) and not needs_branch


def build(model: str, name: str, loss: str, device: torch.device, first: int = 10) -> Balancer:
    """In training mode; where it blends, all heads have the same weight."""
    encoders = MODELS[model][0]
    settings = {
        "encoder": {modality: encoder for modality, (encoder, _) in encoders.items()},
        "fusion": chosen(name, "fusion", "concat"),
        "head": chosen(name, "head", "linear"),
        "loss": loss,
        "balancer": {name: {"first": first}} if name == "g_blend_online" else name,
        "seed": 0,
    }
    shapes = {modality: {"shape": shape} for modality, (_, shape) in encoders.items()}
    balancer = build_balancer(settings, {"num_classes": NUM_CLASSES, "modalities": shapes}, device)
    values = dict.fromkeys(["joint", *encoders], 1 / 3)
    balancer.receive({"weights": values, "ogr": values, "fallback": False})
    balancer.expect(MODELS[model][1])
    if balancer.uses_teachers:
        usual = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint"}
        alone = {m: {**settings, **usual, "encoder": {m: encoder}} for m, (encoder, _) in encoders.items()}
        built = {
            m: build_balancer(own, {"num_classes": NUM_CLASSES, "modalities": shapes}, device)
            for m, own in alone.items()
        }
        balancer.receive_teachers({m: each.model.eval().requires_grad_(False) for m, each in built.items()})
    return balancer.train()


class Listed(list[Batch]):
    """Batches in memory, as a loader."""

    def of(self, places: Tensor) -> "Listed":
        """Batches of the clips at these places [n]."""
        inputs = {m: torch.cat([batch.inputs[m] for batch in self]) for m in self[0].inputs}
        labels = torch.cat([batch.labels for batch in self])
        parts = places.split(len(self[0].labels))
        return Listed(Batch({m: each[part] for m, each in inputs.items()}, labels[part], part) for part in parts)


def random_batch(model: str, seed: int, device: torch.device) -> Batch:
    encoders, batch_size = MODELS[model]
    generator = torch.Generator().manual_seed(seed)
    inputs = {m: torch.randn(batch_size, *shape, generator=generator).to(device) for m, (_, shape) in encoders.items()}
    index = torch.arange(batch_size, device=device)
    return Batch(inputs, index % NUM_CLASSES, index)


def steps(model: str, name: str, loss: str, num_steps: int, device: torch.device) -> Callable[[], int]:
    """Training steps; epoch 1 is inside of OGM's window and starts no super-epoch."""
    balancer, batch = build(model, name, loss, device), random_batch(model, 0, device)
    optimizer = torch.optim.Adam(balancer.parameters(), fused=True)
    balancer.start_epoch(1, Loaders(*[Listed([batch])] * 3), optimizer)

    def train_steps() -> int:
        for _ in range(num_steps):
            balancer.step(batch, optimizer)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return num_steps * len(batch.labels)

    return train_steps


def super_epoch(
    model: str, name: str, loss: str, num_epochs: int, num_batches: int, device: torch.device
) -> Callable[[], int]:
    """The first super-epoch of a run, `num_epochs` long."""
    train = Listed(random_batch(model, seed, device) for seed in range(num_batches))
    loaders = Loaders(train, train, Listed(train[: -(-num_batches // 5)]))  # four fifths and one fifth, about

    def train_epochs() -> int:
        balancer = build(model, name, loss, device, first=num_epochs)
        optimizer = torch.optim.Adam(balancer.parameters(), fused=True)
        for epoch in range(num_epochs):
            balancer.start_epoch(epoch, loaders, optimizer)
            for batch in balancer.batches(loaders.train):
                balancer.step(batch, optimizer)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return num_epochs * sum(len(batch.labels) for batch in train)

    return train_epochs


def print_steps(model: str, num_steps: int, repetitions: int, device: torch.device) -> None:
    methods = [("joint", loss) for loss in LOSSES] + [
        (name, loss_of(name)) for name in REGISTRY if name != "joint" and fits(model, name)
    ]
    rates = alternate({method: steps(model, *method, num_steps, device) for method in methods}, repetitions)
    rows = []
    for (name, loss), of in rates.items():
        milliseconds = 1000 * MODELS[model][1] / median(of)
        ratios = [ratio(rates["joint", base], of) for base in ("joint", loss)]
        rows.append((f"{name}, loss {loss}", f"{milliseconds:.1f}", *(f"{each:.2f}" for each in ratios)))
    print_table([model, "ms a step", "this / joint", "this / joint with its loss"], rows)


def print_super_epochs(model: str, num_epochs: int, num_batches: int, repetitions: int, device: torch.device) -> None:
    variants = {name: super_epoch(model, name, loss_of(name), num_epochs, num_batches, device) for name in SUPER_EPOCH}
    rates = alternate(variants, repetitions)
    rows = [
        (name, f"{num_epochs * num_batches * MODELS[model][1] / median(of):.1f}", f"{ratio(rates['joint'], of):.2f}")
        for name, of in rates.items()
    ]
    print_table([f"{model}, {num_epochs} epochs", "s", "this / joint"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=["GRID", "AV-MNIST"])
    parser.add_argument("--steps", type=int, default=3, help="a repetition")
    parser.add_argument("--repetitions", type=int, default=15, help="of the steps")
    parser.add_argument("--epochs", type=int, default=5, help="of a super-epoch")
    parser.add_argument("--batches", type=int, default=4, help="of train in an epoch")
    parser.add_argument("--super-epochs", type=int, default=3, help="repetitions; 0 leaves them out")
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_conditions(**{name: value for name, value in vars(arguments).items() if name not in ("models", "threads")})
    for model in arguments.models:
        print_steps(model, arguments.steps, arguments.repetitions, arguments.device)
        if arguments.super_epochs:
            print_super_epochs(model, arguments.epochs, arguments.batches, arguments.super_epochs, arguments.device)


if __name__ == "__main__":
    cli.run(main)
