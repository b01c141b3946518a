"""Trained weights from which encoders and heads start."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from avbalance import store
from avbalance.errors import UserError
from avbalance.model import Model, build_model


def load_pretrained(model: Model, inputs: Mapping[str, str]) -> None:
    """Load the weights of encoders and of the head from a run's inputs `pretrained_<modality or head>`.

    Each input is the weights of a uni-modal run, or the files of a published model.

    Raises:
        UserError: Weights do not fit their encoder or the head, or a model does not have exactly one file of weights.
    """
    parts: dict[str, tuple[nn.Module, str]] = {
        modality: (encoder, f"encoders.{modality}.") for modality, encoder in model.encoders.items()
    }
    for name, (part, prefix) in {**parts, "head": (model.head, "head.")}.items():
        if f"pretrained_{name}" not in inputs:
            continue
        folder = Path(inputs[f"pretrained_{name}"])
        manifest = store.open_artifact(folder)
        if manifest["recipe"]["step"] == "train":
            whole = load_file(folder / "model.safetensors")
            state = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        else:
            state = _read_model(folder, list(manifest["files"]))
        try:
            part.load_state(state)  # type: ignore[operator]
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            target = "the head" if name == "head" else f"the encoder of {name!r}"
            raise UserError(f"{folder}: does not fit {target}: {reason}") from error


def load_trained(folder: Path, description: Mapping[str, Any], device: torch.device) -> Model:
    """Model of a finished run with its weights, in evaluation mode and without gradients.

    Args:
        folder: Weights of the run.
        description: Description of the dataset that it was trained on.
        device: Device of the model.
    """
    model = build_model(store.open_artifact(folder)["recipe"]["settings"], description)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval().requires_grad_(False).to(device)


def _read_model(folder: Path, files: list[str]) -> dict[str, torch.Tensor]:
    """Read the only file of weights of a model: a safetensors file, or a PyTorch file of nothing but tensors."""
    candidates = [folder / name for name in files if name.endswith((".pth", ".pt", ".safetensors"))]
    if len(candidates) != 1:
        raise UserError(f"{folder}: expected one file of weights (.pth, .pt, .safetensors), found {len(candidates)}")
    (file,) = candidates
    if file.suffix == ".safetensors":
        return load_file(file)
    try:
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise UserError(f"{file}: is not a PyTorch file that holds nothing but tensors") from error
    return state
