"""Every head against values worked by hand."""

from typing import Any

import pytest
import torch

from avbalance.registry import load

Shares = dict[str, list[float]] | None
EXPECTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, list[float]], list[float], Shares]] = {
    # name: (options, weights, streams, logits, shares)
    # [1 + 2 * 3 + 4, 2 - 3 + 0] = [11, -1]; b / 2 = [2, 0]
    "linear": (
        {},
        {"linear.weight": [[1, 0, 2], [0, 1, -1]], "linear.bias": [4, 0]},
        {"visual": [1, 2], "audio": [3]},
        [11, -1],
        {"visual": [1 + 2, 2], "audio": [6 + 2, -3]},
    ),
    # |[3, 4]| = 5, so cos with [1, 0] and [0, 2] is 3/5 and 4/5; cos of [-2] with [5] and [-1] is -1 and 1
    "cosine": (
        {"scale": 10.0},
        {"linear.weight": [[1, 0, 5], [0, 2, -1]]},
        {"visual": [3, 4], "audio": [-2]},
        [10 * (0.6 - 1), 10 * (0.8 + 1)],
        {"visual": [6, 8], "audio": [-10, 10]},
    ),
    # hidden: [1 + 1, -2 - 3] = [2, -5], after ReLU [2, 0]; logits: [2 + 0, 3 * 2 + 1]
    "mlp": (
        {"hidden": 2},
        {
            "linear1.weight": [[1, 0, 0], [0, -1, -1]],
            "linear1.bias": [1, 0],
            "linear2.weight": [[1, 1], [3, 0]],
            "linear2.bias": [0, 1],
        },
        {"visual": [1, 2], "audio": [3]},
        [2, 7],
        None,
    ),
    # hidden: [1 + 1, -2 - 3] = [2, -5], after ReLU [2, 0]; [-2 + 0, 2 + 1] = [-2, 3], after ReLU [0, 3];
    # logits: [3 * 1, 3 * 2 + 1]
    "two_layer": (
        {"hidden": 2},
        {
            "linear1.weight": [[1, 0, 0], [0, -1, -1]],
            "linear1.bias": [1, 0],
            "linear2.weight": [[-1, 9], [1, 9]],
            "linear2.bias": [0, 1],
            "linear3.weight": [[9, 1], [9, 2]],
            "linear3.bias": [0, 1],
        },
        {"visual": [1, 2], "audio": [3]},
        [3, 7],
        None,
    ),
    # In evaluation the same as "cosine", whatever the probability.
    "dropout": (
        {"head": {"cosine": {"scale": 10.0}}, "probability": 0.9},
        {"head.linear.weight": [[1, 0, 5], [0, 2, -1]]},
        {"visual": [3, 4], "audio": [-2]},
        [10 * (0.6 - 1), 10 * (0.8 + 1)],
        {"visual": [6, 8], "audio": [-10, 10]},
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_logits_and_shares_are_those_worked_by_hand(name: str) -> None:
    options, weights, streams, logits, shares = EXPECTED[name]
    head = load("head", {name: options}, {"visual": 2, "audio": 1}, 2).eval()
    head.load_state_dict({key: torch.tensor(value).float() for key, value in weights.items()})
    inputs = {stream: torch.tensor([value]).float() for stream, value in streams.items()}
    torch.testing.assert_close(head(inputs), torch.tensor([logits]).float())
    expected = shares and {stream: torch.tensor([share]).float() for stream, share in shares.items()}
    torch.testing.assert_close(head.split(inputs), expected)


@pytest.mark.parametrize("name", ["linear", "cosine", "dropout"])
def test_weights_are_the_streams_blocks(name: str) -> None:
    options, weights, *_ = EXPECTED[name]
    head = load("head", {name: options}, {"visual": 2, "audio": 1}, 2)
    head.load_state_dict({key: torch.tensor(value).float() for key, value in weights.items()})
    (rows,) = (torch.tensor(value).float() for key, value in weights.items() if key.endswith("linear.weight"))
    torch.testing.assert_close(head.weights, {"visual": rows[:, :2], "audio": rows[:, 2:]})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # |[3, 4, -12]| = 13
        ("linear", [3 / 13, 4 / 13, -12 / 13]),
        ("mlp", [3 / 13, 4 / 13, -12 / 13]),
        # |[3, 4]| = 5, |[-12]| = 12; two streams
        ("cosine", [0.6 / 2**0.5, 0.8 / 2**0.5, -1 / 2**0.5]),
        ("dropout", [0.6 / 2**0.5, 0.8 / 2**0.5, -1 / 2**0.5]),
    ],
)
def test_embeddings_are_those_worked_by_hand(name: str, expected: list[float]) -> None:
    head = load("head", {name: EXPECTED[name][0]}, {"visual": 2, "audio": 1}, 2)
    streams = {"visual": torch.tensor([[3.0, 4.0]]), "audio": torch.tensor([[-12.0]])}
    torch.testing.assert_close(head.embedding(streams), torch.tensor([expected]))
