"""Encoders and heads that start from trained weights."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import nn

from avbalance import store
from avbalance.errors import UserError
from avbalance.model import Model


def load(model: Model, inputs: Mapping[str, str]) -> None:
    """Start encoders, and the head, from a run's inputs `pretrained_<modality or head>`.

    Each is the weights of a uni-modal run, or a model's files.

    Raises:
        UserError: Weights do not fit their encoder or the head, or a model has no file of weights, or several.
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
            state = _read(folder, list(manifest["files"]))
        try:
            part.load_state(state)  # type: ignore[operator]
        except RuntimeError as error:
            why = " ".join(str(error).split())
            what = "the head" if name == "head" else f"the encoder of {name!r}"
            raise UserError(f"{folder}: does not fit {what}: {why}") from error


def _read(folder: Path, files: list[str]) -> dict[str, torch.Tensor]:
    """The only file of weights of a model: safetensors, or a PyTorch file, which may hold tensors and nothing else."""
    found = [folder / name for name in files if name.endswith((".pth", ".pt", ".safetensors"))]
    if len(found) != 1:
        raise UserError(f"{folder}: holds {len(found)} files of weights (.pth, .pt, .safetensors); allowed is one")
    if found[0].suffix == ".safetensors":
        return load_file(found[0])
    try:
        state: dict[str, torch.Tensor] = torch.load(found[0], map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise UserError(f"{found[0]}: is no PyTorch file of tensors alone") from error
    return state
