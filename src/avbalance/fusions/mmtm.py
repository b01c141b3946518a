"""MMTM, the multi-modal transfer module."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avbalance.fusions.base import Fusion


class MMTM(Fusion):
    """Let both modalities gate the channels of both encoders' maps, at several depths.

    After Joze et al., CVPR 2020, in the form of Wu et al., ICML 2022. With maps x_m after stages 2, 3 and 4 of the
    encoders, of d_m channels, and s_m their mean over positions,

        e    = relu(V [s_a; s_v])                half as long as both s together
        x_m <- sigmoid(U_m e) x_m                channel by channel

    The streams are both encoders' features, so that with the head `linear` the logits are a sum of those of two
    networks, as in the code of Wu et al., which takes their mean. Joze et al. double the gates. Gates are float32. An
    encoder does not stand alone, for it lacks its gates: it is not probed.
    """

    two_modalities = True
    joins_stages = True

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = dict(dims)

    def join(self, stage_dims: Mapping[str, Sequence[int]]) -> None:
        """A junction for each of the maps."""
        for dims in zip(*stage_dims.values(), strict=True):
            self.junctions.append(_Junction(dict(zip(stage_dims, dims, strict=True))))

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> the same."""
        return features

    @property
    def care(self) -> Tensor:
        """Place of the modality whose gates are constant in training, scalar; -1 for none."""
        return self.junctions[0].get_buffer("care")

    def care_for(self, place: Tensor) -> None:
        """Set `care`."""
        for junction in self.junctions:
            junction.get_buffer("care").copy_(place)

    def gate_weights(self, m: str) -> list[nn.Parameter]:
        """The weights U_m and V, which make the gates of modality m."""
        parts = [junction.get_submodule(name) for junction in self.junctions for name in ("V", f"U.{m}")]
        return [weight for part in parts for weight in part.parameters()]


class _Junction(nn.Module):
    """Gates of both modalities' maps at one depth, and their running means.

    In training the gates of the modality that `care` names are their mean over the training steps before.
    """

    care: Tensor
    num_steps: Tensor

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__()
        total = sum(dims.values())
        self.V = nn.Linear(total, total // 2)
        self.U = nn.ModuleDict({m: nn.Linear(total // 2, dim) for m, dim in dims.items()})
        for m, dim in dims.items():
            self.register_buffer(f"mean_{m}", torch.full([dim], 0.5))
        self.register_buffer("care", torch.tensor(-1))
        self.register_buffer("num_steps", torch.tensor(0))

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, channels, *positions]} -> the same shapes."""
        with torch.autocast(self.care.device.type, enabled=False):
            s = [maps[m].mean(dim=tuple(range(2, maps[m].dim())), dtype=torch.float32) for m in self.U]
            e = torch.relu(self.V(torch.cat(s, dim=1)))
            gates = {m: torch.sigmoid(U_m(e)) for m, U_m in self.U.items()}
        if self.training:
            gates = self.curated(gates)
        return {m: x * gates[m].to(x.dtype).view(*x.shape[:2], *[1] * (x.dim() - 2)) for m, x in maps.items()}

    def curated(self, gates: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace the gates of the modality that `care` names, and take all gates [batch, channels] into the means."""
        self.num_steps += 1
        chosen = {}
        for place, (m, gate) in enumerate(gates.items()):
            mean = self.get_buffer(f"mean_{m}")
            chosen[m] = torch.where(self.care == place, mean, gate)
            mean += (gate.detach().mean(dim=0) - mean) / self.num_steps
        return chosen
