from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from affine import DIMS, build, packed_loaders, sgd
from avbalance.balancers.base import Balancer
from avbalance.balancers.scores import shapley
from avbalance.balancers.valuation import num_copies
from avbalance.types import Loaders

NUM_CLIPS = 20


def epoch_of(balancer: Balancer, loaders: Loaders, seed: int, epoch: int = 5) -> list[tuple[int, bool, bool]]:
    """(place, whether visual is present, whether audio is) of the clips of an epoch, in their order."""
    torch.manual_seed(seed)
    balancer.expect(NUM_CLIPS)
    balancer.train().start_epoch(epoch, loaders, sgd(balancer))
    clips = []
    for batch in balancer.batches(loaders.train):
        everywhere = dict.fromkeys(DIMS, torch.ones_like(batch.labels, dtype=torch.bool))
        visual, audio = ((batch.present or everywhere)[m].tolist() for m in DIMS)
        clips += list(zip(batch.index.tolist(), visual, audio, strict=True))
    return clips


def copies_of(right: dict[str, Tensor]) -> Counter[tuple[int, bool, bool]]:
    """Copies by the table of the paper's values: 0 for 1 or more, 1 for 0.5, 2 for 0, 3 for -0.5."""
    v = {m: is_right.int() * (2 if m == "joint" else 1) for m, is_right in right.items()}
    copies: Counter[tuple[int, bool, bool]] = Counter()
    for m, other in (("visual", "audio"), ("audio", "visual")):
        for place, twice in enumerate((v[m] + v["joint"] - v[other]).tolist()):
            number = {3: 0, 2: 0, 1: 1, 0: 2, -1: 3}[twice]
            copies.update({(place, m == "visual", m == "audio"): number})
    return +copies


def test_an_epoch_holds_all_clips_and_the_copies_that_keep_one_modality(tmp_path: Path) -> None:
    balancer, loaders = build("valuation"), packed_loaders(tmp_path, NUM_CLIPS)
    batches = list(loaders.plain)
    right: dict[str, list[Tensor]] = {"joint": [], **{m: [] for m in DIMS}}
    for batch in batches:
        output = balancer.model(batch.inputs)
        for name, z in {"joint": output.logits, **balancer.model.head.split(output.streams)}.items():
            right[name].append(z.argmax(dim=1) == batch.labels)
    expected = copies_of({name: torch.cat(of_batches) for name, of_batches in right.items()})
    found = epoch_of(balancer, loaders, seed=0)
    assert Counter(found) == expected + Counter((place, True, True) for place in range(NUM_CLIPS))
    assert expected
    for m, place in (("visual", 1), ("audio", 2)):
        number = sum(count for clip, count in expected.items() if clip[place])
        assert balancer.curves()[f"extra_{m}"] == pytest.approx(number / NUM_CLIPS)
    again, other = (epoch_of(build("valuation"), loaders, seed) for seed in (0, 1))
    assert found == again
    assert found != other
    assert Counter(found) == Counter(other)


def test_before_the_warmup_is_over_an_epoch_is_an_ordinary_one(tmp_path: Path) -> None:
    loaders = packed_loaders(tmp_path, NUM_CLIPS)
    found = epoch_of(build("valuation"), loaders, seed=0, epoch=4)
    assert sorted(found) == [(place, True, True) for place in range(NUM_CLIPS)]


def test_at_the_level_of_modalities_random_clips_keep_the_one_with_the_larger_gap(tmp_path: Path) -> None:
    balancer, loaders = build({"valuation": {"level": "modality", "part": 1.0}}), packed_loaders(tmp_path, NUM_CLIPS)
    phi = {"visual": torch.full([NUM_CLIPS], 1.1), "audio": torch.full([NUM_CLIPS], 0.5)}
    balancer.values = lambda loader: phi
    extra = Counter(epoch_of(balancer, loaders, seed=0)) - Counter((i, True, True) for i in range(NUM_CLIPS))
    assert sum(extra.values()) == int(0.4 * NUM_CLIPS + 1e-4)  # gaps -0.1 and 0.5: 2/3 of 0.6
    assert {clip[1:] for clip in extra} == {(False, True)}


def test_three_modalities_that_are_all_right_have_no_copy() -> None:
    modalities = ["visual", "audio", "flow"]
    groups = [frozenset(m for place, m in enumerate(modalities) if number >> place & 1) for number in range(1, 8)]
    for phi_m in shapley({group: torch.tensor([float(len(group))]) for group in groups}, modalities).values():
        assert num_copies(phi_m).tolist() == [0]
    assert num_copies(torch.tensor([1.5, 1.0, 0.5, 0.0, -0.5, 2 / 3])).tolist() == [0, 0, 1, 2, 3, 1]
