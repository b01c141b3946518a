"""Every fusion against values worked by hand, for f_visual = [1, 2] and f_audio = [3, -1]."""

from math import log
from typing import Any

import pytest
import torch

from avbalance.registry import load

LN3 = log(3)  # sigmoid(ln 3) = 3 / (1 + 3) = 0.75, sigmoid(-ln 3) = 0.25, sigmoid(0) = 0.5


def centre(matrix: list[list[float]]) -> list[Any]:
    """A 3 x 3 x 3 kernel that is this matrix of channels on a single position; around it 9, which meets padding."""
    kernel = torch.full((len(matrix), len(matrix[0]), 3, 3, 3), 9.0)
    kernel[:, :, 1, 1, 1] = torch.tensor(matrix)
    return kernel.tolist()


EXPECTED: dict[str, tuple[dict[str, Any], dict[str, list[Any]], dict[str, list[float]]]] = {
    # name: (options, weights, streams)
    "concat": ({}, {}, {"visual": [1, 2], "audio": [3, -1]}),
    "addition": ({}, {}, {"joint": [4, 1]}),
    "multiplication": ({}, {}, {"joint": [3, -2]}),
    "maximum": ({}, {}, {"joint": [3, 2]}),
    # W_v f_audio + b_v = [3 - 1, 2 * -1 + 1] = [2, -1], through W_o, b_o: [2 * 2 + 1, -1] = [5, -1]
    # W_v f_visual + b_v = [1 + 2, 2 * 2 + 1] = [3, 5], through W_o, b_o: [2 * 3 + 1, 5] = [7, 5]
    # sum [12, 4], mean 8, deviations [4, -4], standard deviation 4
    "attention": (
        {},
        {
            "attention.in_proj_weight": [[9, 8], [7, 6], [5, 4], [3, 2], [1, 1], [0, 2]],  # W_q, W_k, W_v
            "attention.in_proj_bias": [9, 8, 7, 6, 0, 1],
            "attention.out_proj.weight": [[2, 0], [0, 1]],
            "attention.out_proj.bias": [1, 0],
            "norm.weight": [1, 1],
            "norm.bias": [0, 0],
        },
        {"joint": [1, -1]},
    ),
    # gates of visual sigmoid([ln3, 0]) = [.75, .5], gated [.75, 1]
    # gates of audio sigmoid([0, ln3]) = [.5, .75], gated [1.5, -.75]
    # gates of both sigmoid([ln3 * 1, 0, 0, -ln3 * 1]) = [.75, .5, .5, .25]
    "gated_units": (
        {},
        {
            "W.visual.weight": [[LN3, 0], [0, 0]],
            "W.audio.weight": [[0, 0], [0, -LN3]],
            "W_0.weight": [[0, LN3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, -LN3, 0, 0]],
        },
        {"joint": [0.5625, 0.5, 0.75, -0.1875]},
    ),
    # 1 * 1 * 3 + 2 * 2 * -1 = -1 and 3 * 1 * -1 + 1 * 2 * 3 = 3
    "bilinear": ({"dim": 2}, {"W": [[[1, 0], [0, 2]], [[0, 3], [1, 0]]]}, {"joint": [-1, 3]}),
    # f_img W_img = [1 + 2, 1 - 2] = [3, -1], f_aud W_aud = [2 * 3, 3 - 1] = [6, 2], product [18, -2]
    # times W_f: [18 - 2, .5 * 18] = [16, 9]
    "factorised_bilinear": (
        {"hidden": 2, "dim": 2},
        {
            "W_img.weight": [[1, 1], [1, -1]],
            "W_aud.weight": [[2, 0], [1, 1]],
            "W_f.weight": [[1, 1], [0.5, 0]],
        },
        {"joint": [16, 9]},
    ),
    # F_y y = [3, -1, 3 - 1, 1]: gamma_y = [3, -1], beta_y = [2, 1], x' = [3 * 1 + 2, -1 * 2 + 1]
    # F_x x = [2, 1, 2 * 1, 0]: gamma_x = [2, 1], beta_x = [2, 0], y' = [2 * 3 + 2, 1 * -1 + 0]
    "film": (
        {},
        {
            "F_y.weight": [[1, 0], [0, 1], [1, 1], [0, 0]],
            "F_y.bias": [0, 0, 0, 1],
            "F_x.weight": [[0, 1], [1, 0], [2, 0], [0, 0]],
            "F_x.bias": [0, 0, 0, 0],
        },
        {"visual": [5, -1], "audio": [8, -1]},
    ),
    # F_x x = [ln3, -ln3 / 2 * 2 + 0] = [ln3, -ln3], F_y y = [0, ln3 / 3 * 3] = [0, ln3]
    # x' = [.5 * ln3, .75 * -ln3], y' = [.75 * 0, .25 * ln3]
    "gated": (
        {},
        {
            "F_x.weight": [[LN3, 0], [0, -LN3 / 2]],
            "F_x.bias": [0, 0],
            "F_y.weight": [[0, 0], [LN3 / 3, 0]],
            "F_y.bias": [0, 0],
        },
        {"visual": [0.5 * LN3, -0.75 * LN3], "audio": [0, 0.25 * LN3]},
    ),
    # r = 1: W_v [1, 2, 1] = [1 + 2, 2 * 2] = [3, 4], W_a [3, -1, 1] = [3 + 2, 0 - 1] = [5, -1], product [15, -4]
    # r = 2: W_v [1, 2, 1] = [1, -1], W_a [3, -1, 1] = [3 - 1, 3] = [2, 3], product [2, -3]
    # sum [17, -7], with b = [0, 10]: [17, 3]
    "low_rank": (
        {"rank": 2, "dim": 2},
        {
            "W.visual": [[[1, 0], [1, 2], [0, 0]], [[1, 0], [0, 0], [0, -1]]],  # W^(r): [3, 2], by [f; 1] and h
            "W.audio": [[[1, 0], [0, 1], [2, 0]], [[1, 1], [1, 0], [0, 0]]],
            "b": [0, 10],
        },
        {"joint": [17, 3]},
    ),
    # z = [1, 2, 3, -1], W_1 z = [2 - 1, -1 - 1] = [1, -2], after ReLU [1, 0]
    # W_2 [1, 0] = [ln3, -ln3, 0, ln3], g = [.75, .25, .5, .75]
    "se_gate": (
        {"reduction": 2},
        {
            "W_1.weight": [[0, 1, 0, 1], [-1, 0, 0, 1]],
            "W_2.weight": [[LN3, 7], [-LN3, 7], [0, 7], [LN3, 7]],
        },
        {"visual": [0.75, 0.5], "audio": [1.5, -0.75]},
    ),
    # x_v = [1, 2], x_a = [-1 + 1, 3] = [0, 3]; theta_v = 1, theta_a = 0, phi_v = ln3, phi_a = 0, g_v = 1 - 2,
    # g_a = 0 - 3; softmax(1 * ln3, 1 * 0) = [.75, .25], softmax(0, 0) = [.5, .5]
    # y_v = .75 * -1 + .25 * -3 = -1.5, y_a = .5 * -1 + .5 * -3 = -2; W_z y = [2 y, -y]
    "nl_gate": (
        {"dim": 2},
        {
            "P.visual.weight": [[1, 0], [0, 1]],
            "P.visual.bias": [0, 0],
            "P.audio.weight": [[0, 1], [1, 0]],
            "P.audio.bias": [1, 0],
            "W_theta.weight": [[1, 0]],
            "W_phi.weight": [[LN3, 0]],
            "W_g.weight": [[1, -1]],
            "W_z.weight": [[2], [-1]],
        },
        {"visual": [1 - 3, 2 + 1.5], "audio": [0 - 4, 3 + 2]},
    ),
    # Maps of one position: only the middles of kernels act. [1, 2, 3, -1] through the first: [1 + 3, 2 - 3],
    # norm: [(4 - 2) / 2 * 3 + 1, -1], ReLU: [4, 0]; through the second: [4, -8], norm: [4 / 2, -8 + 7], ReLU: [2, 0]
    "mid_concat": (
        {"dim": 2},
        {
            "trunk.0.weight": centre([[1, 0, 1, 0], [0, 1, -1, 0]]),
            "trunk.1.weight": [3, 1],
            "trunk.1.bias": [1, 0],
            "trunk.1.running_mean": [2, 0],
            "trunk.1.running_var": [4 - 1e-5, 1 - 1e-5],  # 1e-5 is added before the root
            "trunk.1.num_batches_tracked": 1,
            "trunk.3.weight": centre([[1, 5], [-2, 5]]),
            "trunk.4.weight": [1, 1],
            "trunk.4.bias": [0, 7],
            "trunk.4.running_mean": [0, 0],
            "trunk.4.running_var": [4 - 1e-5, 1 - 1e-5],
            "trunk.4.num_batches_tracked": 1,
        },
        {"joint": [2, 0]},
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_streams_are_those_worked_by_hand(name: str) -> None:
    options, weights, streams = EXPECTED[name]
    fusion = load("fusion", {name: options}, {"visual": 2, "audio": 2})
    fusion.load_state_dict({key: torch.tensor(value).float() for key, value in weights.items()})
    features = {"visual": torch.tensor([[1.0, 2.0]]), "audio": torch.tensor([[3.0, -1.0]])}
    if fusion.reads_maps:
        features = {modality: feature[:, :, None, None] for modality, feature in features.items()}
    found = fusion(features)
    expected = {stream: torch.tensor([values]).float() for stream, values in streams.items()}
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "expected"), [("addition", [6, 6]), ("multiplication", [6, -10]), ("maximum", [3, 5])]
)
def test_elementwise_fusions_take_a_third_modality(name: str, expected: list[float]) -> None:
    fusion = load("fusion", name, {"visual": 2, "audio": 2, "flow": 2})
    features = {
        "visual": torch.tensor([1.0, 2.0]),
        "audio": torch.tensor([3.0, -1.0]),
        "flow": torch.tensor([2.0, 5.0]),
    }
    torch.testing.assert_close(fusion(features), {"joint": torch.tensor(expected).float()})
