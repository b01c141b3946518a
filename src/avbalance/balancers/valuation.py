"""Sample-level modality valuation."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.balancers.scores import logits_of_groups, shapley
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative, Share, Whole
from avbalance.types import Batch, Loader, Loaders


class Valuation(Balancer):
    """Train more often, and alone, the modality that contributes little: of each clip, or of the dataset.

    After Wei et al., CVPR 2024. With v(S) = |S| if the logits of the modalities S alone are right, else 0, the value of
    modality m of a clip is its Shapley value; of two,

        phi^a = (v(a) + v(a, v) - v(v)) / 2;   phi^v likewise                       -0.5 to 1.5

    and before each epoch from `warmup` on, an epoch has besides all clips

        sample:    2 (1 - phi^m) copies, rounded up, at most 3, of each clip that keep m alone:   none if phi^m >= 1
        modality:  n (2 / 3) |gap_a - gap_v| alpha clips, drawn with replacement, that keep the modality of the larger
                   gap alone;   gap_m = 1 - mean of phi^m over a random share `part` of the clips

    Logits of subsets are masked logits. With more than two modalities the gaps are the largest and the smallest. An
    epoch costs as many more clips, and a pass over train without gradient. The curves `extra_<modality>` are extra
    clips, in terms of all clips.

    Paper: A modality's value follows from the predictions of all subsets of modalities.
    Code: A missing modality is an input of zeros.
    Here: A missing modality is a feature of zeros; rows `valuation` and `valuation_modality` (`level: modality`).

    Args:
        model: The model to train.
        loss: Its objective.
        level: Copies of each clip, or random clips.
        warmup: First epoch (from 0) with extra clips.
        part: Share of the clips that are looked at, of `level: modality`.
        alpha: Strength of `level: modality`.
    """

    tasks = ("single_label",)
    several_modalities = True
    curve_names = ("extra_<modality>",)

    def __init__(
        self,
        model: Model,
        loss: Loss,
        level: Literal["sample", "modality"] = "sample",
        warmup: Whole = 5,
        part: Share = 0.2,
        alpha: NotNegative = 1.0,
    ) -> None:
        super().__init__(model, loss)
        self.level, self.warmup, self.part, self.alpha = level, warmup, part, alpha
        self.num_clips = 0
        self.extra: dict[str, Tensor] = {}

    def expect(self, num_clips: int) -> None:
        """Note the number of training clips."""
        self.num_clips = num_clips

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Choose the extra clips, {modality: places}."""
        nothing = torch.zeros(0, dtype=torch.int64)
        self.extra = dict.fromkeys(self.model.encoders, nothing)
        if epoch < self.warmup:
            return
        if self.level == "sample":
            for m, phi_m in self.values(loaders.plain).items():
                self.extra[m] = torch.arange(self.num_clips).repeat_interleave(num_copies(phi_m))
        else:
            looked_at = torch.randperm(self.num_clips)[: max(int(self.part * self.num_clips), 1)]
            gaps = {m: 1 - float(phi_m.mean()) for m, phi_m in self.values(loaders.plain.of(looked_at)).items()}
            number = int(self.num_clips * 2 / 3 * (max(gaps.values()) - min(gaps.values())) * self.alpha)
            self.extra[max(gaps, key=lambda m: gaps[m])] = torch.randint(self.num_clips, (number,))

    @torch.no_grad()
    def values(self, loader: Loader) -> dict[str, Tensor]:
        """phi of every clip of a loader, {modality: [clips]}, on the CPU."""
        parts: dict[str, list[Tensor]] = {m: [] for m in self.model.encoders}
        self.model.eval()
        for batch in loader:
            z = logits_of_groups(self.model, self.model(batch.inputs))
            v = {S: len(S) * (z_S.argmax(dim=1) == batch.labels).float() for S, z_S in z.items()}
            for m, phi_m in shapley(v, list(parts)).items():
                parts[m].append(phi_m.cpu())
        self.model.train()
        return {m: torch.cat(of_batches) for m, of_batches in parts.items()}

    def batches(self, loader: Loader) -> Iterator[Batch]:
        """All clips and the extra ones, shuffled together."""
        if not any(len(places) for places in self.extra.values()):
            yield from loader
            return
        places = torch.cat([torch.arange(self.num_clips), *self.extra.values()])
        kept = torch.cat(
            [torch.full_like(each, k) for k, each in enumerate([places[: self.num_clips], *self.extra.values()])]
        )
        order = torch.randperm(len(places))
        places, kept = places[order], kept[order]
        begin = 0
        for batch in loader.of(places):
            own = kept[begin : begin + len(batch.labels)].to(batch.labels.device)
            begin += len(batch.labels)
            batch.present = {m: (own == 0) | (own == k) for k, m in enumerate(self.extra, start=1)}
            yield batch

    def curves(self) -> dict[str, float]:
        """Extra clips of each modality over all clips."""
        extra = {f"extra_{m}": len(places) / max(self.num_clips, 1) for m, places in self.extra.items()}
        return {**super().curves(), **extra}


def num_copies(phi_m: Tensor) -> Tensor:
    """Copies of each clip, [clips]; a rounding error of phi, as of four modalities, makes none."""
    return (2 * (1 - phi_m) - 1e-4).ceil().clamp(0, 3).long()
