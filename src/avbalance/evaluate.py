"""One pass over a split that keeps what the model says of every clip."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from avbalance.model import Model
from avbalance.types import Batch


@torch.no_grad()
def predict(
    model: Model, batches: Iterable[Batch], precision: torch.dtype, with_masked: bool = False
) -> dict[str, NDArray[np.float32]]:
    """{"logits": [n, num_classes]} and, where asked for, "masked_<modality>" of the same shape."""
    was_training = model.training
    model.eval()
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for batch in batches:
        with torch.autocast(batch.labels.device.type, precision, enabled=precision != torch.float32):
            output = model(batch.inputs)
            said = {"logits": output.logits}
            if with_masked:
                said |= {f"masked_{name}": logits for name, logits in model.masked(output).items()}
        for name, logits in said.items():
            parts.setdefault(name, []).append(logits.cpu().numpy())
    model.train(was_training)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
