"""Feature-wise linear modulation, made symmetric."""

from torch import Tensor, nn

from avbalance.fusions.base import Fusion


class FiLM(Fusion):
    """Each modality scales and shifts the other's features.

    Perez et al., AAAI 2018, with a second stream in which the roles are switched: MMCosine (Xu et al., ICASSP
    2023), section 3.2.

        x' = gamma_y * x + beta_y        [gamma_y, beta_y] = F_y y
        y' = gamma_x * y + beta_x        [gamma_x, beta_x] = F_x x

    F_x and F_y are one linear layer each. Stream x' bears the name of x, the modality that is modulated.
    """

    two_modalities = True

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = dict(dims)
        self.x, self.y = dims
        self.F_x = nn.Linear(dims[self.x], 2 * dims[self.y])
        self.F_y = nn.Linear(dims[self.y], 2 * dims[self.x])

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> the same shapes."""
        x, y = features[self.x], features[self.y]
        gamma_y, beta_y = self.F_y(y).chunk(2, dim=1)
        gamma_x, beta_x = self.F_x(x).chunk(2, dim=1)
        return {self.x: gamma_y * x + beta_y, self.y: gamma_x * y + beta_x}
