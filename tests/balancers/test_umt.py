from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from affine import DIMS, build, random_batch, sgd, start
from avbalance import store
from avbalance.errors import UserError
from avbalance.model import build_model
from avbalance.train import build_balancer, hand_over
from avbalance.types import Batch


def test_training_leaves_the_teachers_and_pulls_the_students_features_to_theirs() -> None:
    balancer, batch = build({"umt": {"lam": 100.0}}), random_batch()
    before = {m: {k: v.clone() for k, v in each.state_dict().items()} for m, each in balancer.teachers.items()}
    start(balancer, batch)
    optimizer = sgd(balancer, lr=0.01)
    terms = [balancer.step(batch, optimizer) for _ in range(40)]
    for m, teacher in balancer.teachers.items():
        assert not teacher.training
        for name, value in teacher.state_dict().items():
            assert torch.equal(value, before[m][name])
        t_m = teacher.encoders[m](batch.inputs[m])
        distance = 100.0 * (balancer.model.encode(batch.inputs)[m] - t_m).square().mean()
        torch.testing.assert_close(balancer.losses(balancer(batch), batch)[f"distance_{m}"], distance)
        assert terms[-1][f"distance_{m}"] < 0.1 * terms[0][f"distance_{m}"]


def test_a_student_that_is_its_teacher_has_no_distance_and_one_without_is_refused() -> None:
    balancer, batch = build("umt"), random_batch()
    for m, teacher in balancer.teachers.items():
        teacher.encoders[m].load_state_dict(balancer.model.encoders[m].state_dict())
    terms = balancer.losses(balancer(batch), batch)
    assert all(terms[f"distance_{m}"].item() == 0 for m in DIMS)
    balancer.receive_teachers({})
    with pytest.raises(UserError, match="no teachers"):
        start(balancer, batch)


def test_where_the_fusion_reads_maps_those_of_whole_teachers_are_compared(tmp_path: Path) -> None:
    description = {"num_classes": 3, "modalities": {m: {"shape": (1, 32, 32)} for m in DIMS}}
    encoder = {"resnet18": {"width": 4}}
    inputs = {}
    for m in DIMS:
        settings = {"encoder": {m: encoder}, "fusion": "concat", "head": "linear"}
        with store.publish(tmp_path / m, {"step": "train", "settings": settings}) as out:
            save_file(build_model(settings, description).state_dict(), out / "model.safetensors")
        inputs[f"teacher_{m}"] = str(tmp_path / m)
    settings = {"encoder": dict.fromkeys(DIMS, encoder), "fusion": "mid_concat", "head": "linear"}
    settings |= {"loss": "joint", "balancer": "umt", "seed": 0}
    balancer = build_balancer(settings, description, torch.device("cpu"))
    hand_over(balancer, inputs, description, torch.device("cpu"))
    clips = Batch({m: torch.ones(2, 1, 32, 32) for m in DIMS}, torch.tensor([0, 1]), torch.arange(2))
    output = balancer(clips)
    for m, teacher in balancer.teachers.items():
        assert teacher.encode({m: clips.inputs[m]})[m].shape == output.features[m].shape
    assert all(value.isfinite() for value in balancer.losses(output, clips).values())
