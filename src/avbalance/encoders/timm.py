"""Backbones of timm, PyTorch Image Models."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Text


class Timm(Encoder):
    """Any backbone for images that timm has, without its classifier.

    Wightman, PyTorch Image Models, 2019. The first layer has as many input channels as the modality, so that
    spectrograms are images of one channel. Transformers get the size of the modality's images. Frames of a video are
    images of their own, and their features are averaged, as by `resnet18`. Layers have timm's names behind
    `backbone.`; `timm.create_model(name)` prints them.

    Fresh weights are random. Trained weights are files with checksums, never timm's own download: describe them in
    `config/models/<weights>.yaml`, and start from them with `pretrained: {visual: <weights>}`. timm itself fits them to
    the number of channels and the size of the images.

    Args:
        shape: (height, width) of one spectrogram, (channels, height, width) of one image or (channels, frames, height,
            width) of one video.
        name: Architecture, such as `convnext_tiny`, without the name of trained weights behind a point.
    """

    requires_package = ("timm",)

    def __init__(self, shape: Sequence[int], name: Text) -> None:
        super().__init__()
        import timm  # an extra, and some seconds for those who do not use it

        if len(shape) not in (2, 3, 4):
            raise UserError(
                f"encoder Timm reads [height, width], [channels, height, width] or [channels, frames, height, width], "
                f"found {list(shape)}"
            )
        if not timm.is_model(name) or "." in name:
            close = timm.list_models(f"*{name.partition('.')[0]}*")[:5]
            raise UserError(
                f"timm.name: found {name!r}; allowed: an architecture of timm {timm.__version__}, without the name of "
                f"trained weights{', such as ' if close else ''}{', '.join(close)}"
            )
        self.name = name
        self.num_channels = 1 if len(shape) == 2 else shape[0]
        self.is_video = len(shape) == 4
        self.num_frames = shape[1] if self.is_video else 1
        self.options: dict[str, Any] = {"num_classes": 0, "in_chans": self.num_channels}
        described = timm.get_pretrained_cfg(name)
        if described is not None and described.fixed_input_size:
            self.options["img_size"] = tuple(shape[-2:])
        try:
            self.backbone: nn.Module = timm.create_model(name, pretrained=False, **self.options)
            with torch.no_grad():
                features = self.eval()(torch.zeros(1, *shape))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"timm.name: {name!r} cannot read {list(shape)}: {' '.join(str(error).split())}") from error
        self.train()
        self.feature_dim = features.shape[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, (channels, (frames,)) height, width] -> [batch, feature_dim]."""
        if self.is_video:
            inputs = inputs.transpose(1, 2)  # a frame is an image
        features: Tensor = self.backbone(inputs.reshape(-1, self.num_channels, *inputs.shape[-2:]))
        return features.view(-1, self.num_frames, features.shape[1]).mean(dim=1)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Start from a state of timm's model of this name, or of this encoder.

        Raises:
            RuntimeError: The weights are those of another model.
        """
        if all(name.startswith("backbone.") for name in state):
            self.load_state_dict(state)
            return
        import timm

        overlay = {"state_dict": dict(state)}
        trained = timm.create_model(self.name, pretrained=True, pretrained_cfg_overlay=overlay, **self.options)
        self.backbone.load_state_dict(trained.state_dict())
