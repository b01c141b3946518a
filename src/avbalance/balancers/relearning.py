"""Diagnosing and re-learning."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Count, NotNegative
from avbalance.types import Loader, Loaders


class Relearning(Balancer):
    """From time to time move an encoder back towards its start, the further the worse its features generalise.

    After Wei et al., ECCV 2024. Before the epochs T + 1, 2 T + 1, ... (from 0), at most `times` times, for modality m,

        P        = share of clips whose class is the most frequent one of their cluster (purity); k-means has as many
                   clusters as classes, on features scaled to -1 to 1 in each dimension
        alpha_m  = tanh(lam |P_train - P_val|)
        theta_m <- alpha_m theta_m^0 + (1 - alpha_m) theta_m           theta^0: before training

    Running means of batch norm and the optimiser's state stay. Early stopping waits for the last of these epochs. The
    curves `alpha_<modality>`, `purity_train_<modality>` and `purity_val_<modality>` are those of the last time, 0
    before the first.

    Paper: The gap between the purities of train and val tells how far an encoder goes back.
    Code: Running means of batch norm and the optimiser's state stay.
    Here: As the code, with at most `num_clips: 4000` clips in the clusters; row `relearning`.

    Args:
        model: The model to train.
        loss: Its objective.
        every: T, epochs.
        times: Largest number of times; of the authors' 50 epochs 20 allows two.
        lam: Sharpness.
        num_clips: Largest number of clips, evenly spaced, that are clustered; thousands take seconds.
    """

    tasks = ("single_label",)
    curve_names = ("alpha_<modality>", "purity_train_<modality>", "purity_val_<modality>")
    figures: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        every: Count = 20,
        times: Count = 3,
        lam: NotNegative = 3.0,
        num_clips: Count = 4000,
    ) -> None:
        super().__init__(model, loss)
        self.every, self.times, self.lam, self.num_clips = every, times, lam, num_clips
        self.earliest_stop = every * times + 1
        for name, weight in self._weights():
            self.register_buffer(name, torch.zeros_like(weight))
        self.register_buffer("figures", torch.zeros(3, len(model.encoders)))

    def _weights(self, modality: str | None = None) -> list[tuple[str, Tensor]]:
        """(name of the buffer of its start, weight) of one encoder or all."""
        return [
            (f"start_{m}_{name.replace('.', '_')}", weight)
            for m, encoder in self.model.encoders.items()
            if modality in (None, m)
            for name, weight in encoder.named_parameters()
        ]

    @torch.no_grad()
    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Keep the start of training, or move encoders back towards it."""
        if epoch == 0:
            for name, weight in self._weights():
                self.get_buffer(name).copy_(weight)
        number, rest = divmod(epoch - 1, self.every)
        if epoch > 1 and rest == 0 and number <= self.times:
            purities = [self.purities(loader) for loader in (loaders.plain, loaders.val)]
            for place, m in enumerate(self.model.encoders):
                train, val = purities[0][m], purities[1][m]
                alpha = float(np.tanh(self.lam * abs(train - val)))
                self.figures[:, place] = torch.tensor([alpha, train, val])
                self.move_back(m, alpha)

    @torch.no_grad()
    def move_back(self, m: str, alpha: float) -> None:
        """theta_m <- alpha theta_m^0 + (1 - alpha) theta_m."""
        for name, weight in self._weights(m):
            weight.lerp_(self.get_buffer(name), alpha)

    def purities(self, loader: Loader) -> dict[str, float]:
        """P of the features of a split, {modality: share}, in evaluation mode."""
        features: dict[str, list[Tensor]] = {m: [] for m in self.model.encoders}
        labels = []
        self.model.eval()
        for batch in loader:
            for m, vector in self.model(batch.inputs).vectors.items():
                features[m].append(vector.cpu())
            labels.append(batch.labels.cpu())
        self.model.train()
        y = torch.cat(labels).numpy()
        places = np.unique(np.linspace(0, len(y) - 1, min(len(y), self.num_clips)).astype(int))
        return {
            m: purity(torch.cat(of_m).numpy()[places], y[places], self.model.num_classes)
            for m, of_m in features.items()
        }

    def curves(self) -> dict[str, float]:
        """The figures of the last time."""
        names = [each.removesuffix("<modality>") for each in self.curve_names]
        named = {
            f"{name}{m}": value
            for name, values in zip(names, self.figures.tolist(), strict=True)
            for m, value in zip(self.model.encoders, values, strict=True)
        }
        return {**super().curves(), **named}


def purity(features: NDArray[Any], labels: NDArray[np.int64], num_clusters: int) -> float:
    """P of features [clips, dim] and labels [clips]."""
    least, most = features.min(axis=0), features.max(axis=0)
    scaled = 2 * (features - least) / np.where(most > least, most - least, 1) - 1
    clusters = KMeans(min(num_clusters, len(np.unique(scaled, axis=0))), n_init=1, random_state=0).fit_predict(scaled)
    return purity_of(clusters, labels)


def purity_of(clusters: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Share of clips whose label is the most frequent one of their cluster."""
    return sum(int(np.bincount(labels[clusters == each]).max()) for each in np.unique(clusters)) / len(labels)
