"""Parts that residual networks of images and of videos share: stages, the cut before the last one, public weights."""

from collections.abc import Callable, Generator, Mapping
from typing import ClassVar

from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError


class Residual(Encoder):
    """Four stages of residual blocks; from stage to stage channels double and positions halve.

    He et al., CVPR 2016, table 1. Layers are named and shaped as in torchvision.

    Attributes:
        first: Name of the weights of the first layer.
        cut_dim: Channels of layer3's maps.
        is_cut: True after the last stage was dropped.
    """

    has_maps = True
    first: ClassVar[str]
    cut_dim: int
    is_cut: bool
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def add_stages(
        self, block: Callable[[int, int, int], nn.Module], expansion: int, width: int, num_blocks: tuple[int, ...]
    ) -> None:
        """Make layer1 to layer4 of `num_blocks` blocks each.

        Args:
            block: (input channels, channels, stride) -> a block with `expansion` times `channels` output channels.
            expansion: See `block`.
            width: Input channels of the first stage, and channels of its blocks.
            num_blocks: Number of blocks of each stage.
        """
        self.cut_dim, self.is_cut = 4 * width * expansion, False
        self.stage_dims = (2 * width * expansion, self.cut_dim, 8 * width * expansion)
        in_channels = width
        for stage, num in enumerate(num_blocks):
            channels, stride = width * 2**stage, 2 if stage else 1
            blocks = [block(in_channels, channels, stride)]
            in_channels = channels * expansion
            blocks += [block(in_channels, channels, 1) for _ in range(num - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def enter(self, inputs: Tensor) -> Tensor:
        """Clips [batch, *shape] -> input of layer1, [batch, width, *positions]."""
        raise NotImplementedError

    def leave(self, maps: Tensor) -> Tensor:
        """Maps of layer4 -> features [batch, feature_dim]; once cut, maps of layer3 -> those maps by clip."""
        raise NotImplementedError

    def by_clip(self, maps: Tensor) -> Tensor:
        """Maps of a layer -> maps of clips, [batch, channels, *positions]."""
        return maps

    def by_frame(self, maps: Tensor) -> Tensor:
        """Maps of clips -> maps that a layer takes."""
        return maps

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, feature_dim]; once cut, maps."""
        return self.leave(self.layer4(self.layer3(self.layer2(self.layer1(self.enter(inputs))))))

    def stages(self, inputs: Tensor) -> Generator[Tensor, Tensor, None]:
        """As of `Encoder`; the maps are those of layer2, layer3 and layer4."""
        x = self.layer1(self.enter(inputs))
        for layer in (self.layer2, self.layer3, self.layer4):
            x = self.by_frame((yield self.by_clip(layer(x))))
        yield self.leave(x)

    def cut(self) -> None:
        """Drop layer4 and the mean over positions; `feature_dim` becomes the channels of layer3."""
        self.feature_dim, self.layer4, self.is_cut = self.cut_dim, nn.Sequential(), True

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Start from a state of torchvision's network of this name, or of this encoder.

        Its classifier `fc` is left out. The first convolution is brought to this encoder's C input channels from the
        state's c: every channel gets the mean over the c, times c / C, so that an input equal in all channels gives
        the same activations. What has no counterpart in the state (the layer to `feature_dim`) stays as it is.

        Args:
            state: {name: weights}, of width 64 where they are torchvision's.

        Raises:
            UserError: The weights are those of another width, depth or kind of network.
        """
        own = self.state_dict()
        dropped = ("fc.", "layer4.") if self.is_cut else ("fc.",)
        fitted = {name: value for name, value in state.items() if not name.startswith(dropped)}
        c, C = fitted[self.first].shape[1] if self.first in fitted else 0, own[self.first].shape[1]
        if c not in (0, C):
            fitted[self.first] = fitted[self.first].mean(dim=1, keepdim=True).expand_as(own[self.first]) * (c / C)
        for name in own | fitted:
            if name not in fitted and (name.startswith("linear.") or name.endswith(".num_batches_tracked")):
                continue
            theirs, ours = (list(of[name].shape) if name in of else "missing" for of in (fitted, own))
            if theirs != ours:
                raise UserError(
                    f"weights for {type(self).__name__}: {name!r} is {theirs} there and {ours} in the encoder; "
                    "torchvision's weights are of width 64, and of one network each"
                )
        self.load_state_dict(own | fitted)
