"""Operations a second of this machine in training, for `avbalance estimate --tflops`.

Networks of scale paper on random clips: forward, loss, backward and SGD's step, counted as the estimate counts them,
three times the operations of the forward pass, two a multiply-add. Data are in memory; reading them is not measured.
"""

import argparse
import time
from typing import Any

import torch
from measure import print_conditions, print_table
from torch.nn.functional import cross_entropy

from avbalance.estimate import forward_operations
from avbalance.train import build_balancer

PLAIN = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint", "seed": 0}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]], int]] = {
    "CREMA-D, ResNet-18": (
        {"audio": "resnet18", "visual": "resnet18"},
        {"audio": (257, 299), "visual": (3, 224, 224)},
        32,
    ),
    "Kinetics, ResNet3D-50": (
        {"audio": "resnet50", "visual": "r3d"},
        {"audio": (40, 100), "visual": (3, 16, 224, 224)},
        32,
    ),
}
"""{name: (encoders, shapes of a clip, clips of a batch on a GPU)}."""


def rate(
    encoders: dict[str, Any], shapes: dict[str, tuple[int, ...]], batch_size: int, seconds: float, precision: str
) -> float:
    """10^12 operations a second, over at least so many seconds after two steps that do not count."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = {**PLAIN, "encoder": encoders}
    description = {"num_classes": 6, "modalities": {name: {"shape": shape} for name, shape in shapes.items()}}
    model = build_balancer(settings, description, device).model.train()
    inputs = {name: torch.randn(batch_size, *shape, device=device) for name, shape in shapes.items()}
    labels = torch.arange(batch_size, device=device) % 6
    optimizer = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            logits = model(inputs).logits
        cross_entropy(logits, labels).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    step()
    step()
    start, num_steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        num_steps += 1
    taken = time.perf_counter() - start
    return 3 * forward_operations(settings, shapes, 6) * batch_size * num_steps / taken / 1e12


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--batch", type=int, help="clips of a batch; by default 32, on a CPU 4")
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    arguments = parser.parse_args()
    print_conditions()
    on_cpu = None if torch.cuda.is_available() else 4
    rows = []
    for name, (encoders, shapes, batch_size) in NETWORKS.items():
        measured = rate(
            encoders, shapes, arguments.batch or on_cpu or batch_size, arguments.seconds, arguments.precision
        )
        rows.append([name, arguments.precision, f"{measured:.3f}"])
    print_table(["network", "precision", "TFLOP/s"], rows)


if __name__ == "__main__":
    main()
