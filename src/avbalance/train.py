"""Train one run: a row of a table with one seed.

Reads a prepared data set; writes the run (metrics, history, per-clip predictions) and, apart from it, the weights.
The epoch is chosen by the loss on the validation split, or is the last one; nothing is decided by the test split.
"""

import argparse
import csv
import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from avbalance import cli, registry, store
from avbalance.balancers.base import Balancer
from avbalance.data.packed import Batches, Split, describe
from avbalance.device import claim
from avbalance.errors import UserError
from avbalance.evaluate import classify, mean_loss, monitor, observe, read_trials, verify
from avbalance.model import Model, build
from avbalance.progress import Progress
from avbalance.training import checkpoint, optimization, pretrained
from avbalance.training.snapshots import Moments, file_of
from avbalance.types import Loaders

CHECK_EVERY_STEPS = 50
"""How often losses and gradients are looked at, besides an epoch's last step; each look waits for the device."""


def train(
    balancer: Balancer,
    splits: Mapping[str, Split],
    trials: Mapping[str, NDArray[np.int64]],
    training: Mapping[str, Any],
    seed: int,
    resume: Path,
    checkpoint_seconds: float,
) -> tuple[list[dict[str, float]], dict[str, Tensor], dict[str, Tensor]]:
    """Train until the validation loss has not fallen for `patience` epochs; leave the last epoch's weights.

    All randomness of an epoch follows from (seed, epoch), so a run that was killed and resumed gives the same bits.

    Returns:
        One record an epoch: epoch (from 1), train_loss, grad_norm_<modality> (length of the gradient of an encoder's
        weights, mean over the steps that are looked at), those of `evaluate.observe`, seconds, the balancer's curves,
        and where training.monitor is set those of `evaluate.monitor`; the length of each class's weight,
        {stream: [epochs, num_classes]}; and the chosen epoch's state of the balancer.

    Raises:
        UserError: A loss or a weight is not finite.
    """
    batch_size, precision = training["batch_size"], getattr(torch, training["precision"])
    device = splits["train"].device
    optimizer = optimization.make(balancer.parameters(), training)
    history: list[dict[str, float]] = []
    norms: list[dict[str, Tensor]] = []
    best = _copy(balancer)
    num_steps, files = 0, {}
    if state := checkpoint.load(resume, device):
        balancer.load_state_dict(state["balancer"])
        optimizer.load_state_dict(state["optimizer"])
        history, norms, best = state["history"], state["norms"], state["best"]
        num_steps, files = state["num_steps"], state["files"]
    most_steps = training["epochs"] * len(Batches(splits["train"], batch_size))
    moments = Moments(balancer.model, training, resume, most_steps, num_steps, files)
    augmentation = registry.load("augmentation", training["augment"]) if training["augment"] else None
    progress = Progress(resume, training["epochs"], "epoch", len(history))
    saved = time.monotonic()
    while not _is_finished(history, training):
        epoch, start = len(history), time.perf_counter()
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        optimization.set_learning_rate(optimizer, training, epoch)
        loaders = Loaders(
            train=Batches(splits["train"], batch_size, (seed, epoch), augmentation=augmentation),
            plain=Batches(splits["train"], batch_size),
            val=Batches(splits["val"], batch_size),
        )
        seen = _train_epoch(balancer, optimizer, loaders, epoch, precision, moments)
        seconds = time.perf_counter() - start
        figures = {**seen, **observe(balancer.model, splits["val"], batch_size, precision)}
        _check_epoch(balancer, figures["val_loss"], epoch)
        record = {"epoch": epoch + 1, **figures, "seconds": round(seconds, 4), **balancer.curves()}
        if training["monitor"]:
            record |= monitor(balancer.model, splits, trials, batch_size, precision)
        history.append(record)
        weights = balancer.model.class_weights()
        norms.append({stream: W_s.detach().norm(dim=1) for stream, W_s in weights.items()})
        if _chosen_epoch(history, training) == epoch:
            best = _copy(balancer)
        if time.monotonic() - saved >= checkpoint_seconds:
            states: dict[str, Any] = {
                "balancer": balancer.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": best,
            }
            states |= {"history": history, "norms": norms, "num_steps": moments.done, "files": moments.files}
            checkpoint.save(resume, states)
            saved = time.monotonic()
        progress.advance(train_loss=figures["train_loss"], val_loss=figures["val_loss"])
    moments.close()
    progress.close()
    streams = norms[0] if norms else {}
    return history, {stream: torch.stack([each[stream] for each in norms]).cpu() for stream in streams}, best


def _train_epoch(
    balancer: Balancer,
    optimizer: torch.optim.Optimizer,
    loaders: Loaders,
    epoch: int,
    precision: torch.dtype,
    moments: Moments,
) -> dict[str, float]:
    """One epoch; returns "train_loss", the mean objective over its clips, and "grad_norm_<modality>"."""
    balancer.train()
    with torch.autocast(_device_type(balancer), precision, enabled=precision != torch.float32):
        balancer.start_epoch(epoch, loaders, optimizer)
    sums: list[Tensor] = []
    unchecked: list[dict[str, Tensor]] = []
    gradients: list[Tensor] = []
    num_clips = 0
    for batch in balancer.batches(loaders.train):
        with torch.autocast(_device_type(balancer), precision, enabled=precision != torch.float32):
            unchecked.append(balancer.step(batch, optimizer))
        sums.append(torch.stack(list(unchecked[-1].values())).sum() * len(batch.labels))
        num_clips += len(batch.labels)
        moments.advance()
        if len(unchecked) == CHECK_EVERY_STEPS:
            _check_finite(unchecked, epoch, len(sums))
            unchecked = []
            gradients.append(_gradient_norms(balancer.model))
    if unchecked:
        _check_finite(unchecked, epoch, len(sums))
        gradients.append(_gradient_norms(balancer.model))
    means = torch.stack(gradients).mean(dim=0).tolist()
    named = {f"grad_norm_{modality}": mean for modality, mean in zip(balancer.model.encoders, means, strict=True)}
    return {"train_loss": float(torch.stack(sums).sum()) / num_clips, **named}


def _gradient_norms(model: Model) -> Tensor:
    """Length of the gradient that the last step left in each encoder, [modalities]."""
    gradients = (
        [weight.grad for weight in encoder.parameters() if weight.grad is not None]
        for encoder in model.encoders.values()
    )
    return torch.stack([nn.utils.get_total_norm(each) for each in gradients])


def _device_type(module: nn.Module) -> str:
    return next(module.parameters()).device.type


def _check_finite(terms: list[dict[str, Tensor]], epoch: int, num_steps: int) -> None:
    for step, losses in enumerate(terms, start=num_steps - len(terms) + 1):
        for name, value in losses.items():
            if not math.isfinite(value):
                raise UserError(
                    f"the loss term {name!r} is {value.item()} in epoch {epoch + 1}, step {step}; "
                    f"lower training.learning_rate, or check the data"
                )


def _check_epoch(balancer: Balancer, val_loss: float, epoch: int) -> None:
    """The validation loss and all weights are finite; the loss terms of an epoch do not tell what its last step did."""
    if not math.isfinite(val_loss):
        raise _not_finite(f"the validation loss is {val_loss}", epoch)
    state = {**balancer.model.state_dict(), **balancer.loss.state_dict(prefix="loss.")}
    finite = torch.stack([values.isfinite().all() for values in state.values()]).tolist()
    if not all(finite):
        raise _not_finite(f"{list(state)[finite.index(False)]} holds numbers that are not finite", epoch)


def _not_finite(what: str, epoch: int) -> UserError:
    return UserError(f"{what} after epoch {epoch + 1}; lower training.learning_rate, or check the data")


def _chosen_epoch(history: list[dict[str, float]], training: Mapping[str, Any]) -> int:
    """The epoch (from 0) with the lowest validation loss, the first of equals; or the last, as training.select says.

    -1 where nothing is trained.
    """
    if not history or training["select"] == "last":
        return len(history) - 1
    return min(range(len(history)), key=lambda epoch: history[epoch]["val_loss"])


def _is_finished(history: list[dict[str, float]], training: Mapping[str, Any]) -> bool:
    waited = len(history) - 1 - _chosen_epoch(history, training) if history else 0
    return bool(len(history) >= training["epochs"] or waited >= training["patience"])


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def build_balancer(settings: Mapping[str, Any], description: Mapping[str, Any], device: torch.device) -> Balancer:
    """Model, loss and balancer of a run with freshly initialised weights, a function of the seed."""
    torch.manual_seed(settings["seed"])
    model = build(settings, description)
    dims = {modality: int(model.encoders[modality].feature_dim) for modality in settings["encoder"]}  # type: ignore[arg-type]
    loss = registry.load("loss", settings["loss"], dims, description["num_classes"])
    balancer: Balancer = registry.load("balancer", settings["balancer"], model, loss)
    for parameter in balancer.parameters():
        if parameter.dim() == 4:  # channels last made 2-D convolutions faster, and 3-D ones on a CPU did not gain
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return balancer.to(device)


def multiply_adds_per_clip(model: Model, split: Split) -> int:
    """Multiply-adds of one clip's forward pass; papers call 10^9 of them a GFLOP."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(split.batch(np.arange(1)).inputs)
    return int(counter.get_total_flops()) // 2  # it counts a multiply-add as two operations


def run(recipe: Mapping[str, Any], device: torch.device, resume: Path, checkpoint_seconds: float) -> dict[str, Any]:
    """Train a recipe.

    Returns:
        {"model", "history", "weight_norms", "predictions", "metrics"}: of the chosen epoch, but in metrics
        "last_train_loss" and "last_val_loss", means over all clips in evaluation mode after the last epoch.

    Raises:
        UserError: A loss, a weight or a prediction is not finite.
    """
    settings, data = recipe["settings"], Path(recipe["inputs"]["data"])
    store.open_artifact(data)
    description = describe(data)
    trials = read_trials(data / "trials.csv") if description.get("task") == "verification" else {}
    splits = {name: Split(data, name, list(settings["encoder"]), device) for name in ("train", "val", "test")}
    balancer = build_balancer(settings, description, device)
    model = balancer.model
    pretrained.load(model, recipe["inputs"])
    if "blend" in recipe["inputs"]:
        blend = Path(recipe["inputs"]["blend"])
        store.open_artifact(blend)
        balancer.receive(json.loads((blend / "blend.json").read_text(encoding="utf-8")))
    training, seed = settings["training"], settings["seed"]
    history, norms, best = train(balancer, splits, trials, training, seed, resume, checkpoint_seconds)
    batch_size, precision = training["batch_size"], getattr(torch, training["precision"])
    chosen = _chosen_epoch(history, training)
    at_end: dict[str, float] = {}
    if trials or chosen < len(history) - 1:  # else the figures below are of the last epoch
        for name in ("train", "val"):
            at_end[f"last_{name}_loss"] = mean_loss(model, Batches(splits[name], batch_size), precision)
    balancer.load_state_dict(best)
    if trials:
        predictions, quality = verify(model, splits, trials, batch_size, precision)
    else:
        predictions, quality = classify(model, splits, batch_size, precision)
    at_end = at_end or {f"last_{name}_loss": quality[f"{name}_loss"] for name in ("train", "val")}
    losses = {name: np.array(value) for name, value in {**quality, **at_end}.items() if name.endswith("_loss")}
    for name, values in {**losses, **predictions}.items():
        if not np.isfinite(values).all():
            raise _not_finite(f"{name} is not finite", len(history) - 1 if name in at_end else chosen)
    seconds = sum(record["seconds"] for record in history)
    figures: dict[str, Any] = {
        "best_epoch": chosen + 1,
        "num_epochs": len(history),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds_per_clip": multiply_adds_per_clip(model, splits["val"]),
        "train_seconds": round(seconds, 3),
        "train_clips_per_second": round(len(history) * len(splits["train"]) / seconds, 1) if history else 0.0,
        **quality,
        **at_end,
    }
    weight_norms = {f"weight_norm_{stream}": values.numpy() for stream, values in norms.items()}
    told = {
        "history": history,
        "weight_norms": weight_norms,
        "predictions": predictions,
        "metrics": store.finite(figures),
    }
    return {"model": model, **told}


def main() -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True, help="the run's recipe (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--weights", type=Path, required=True, help="folder of its weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--resume", type=Path, default=Path("results/resume"), help="where unfinished runs are kept")
    parser.add_argument("--checkpoint-seconds", type=float, default=20, help="least time between checkpoints")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = store.load_recipe(arguments.recipe)
    resume = arguments.resume / recipe["name"]
    with claim(arguments.device, arguments.resume) as device, store.publish(arguments.out, recipe) as out:
        trained = run(recipe, device, resume, arguments.checkpoint_seconds)
        with store.publish(arguments.weights, recipe) as weights:
            state = {name: value.contiguous().cpu() for name, value in trained["model"].state_dict().items()}
            (weights / "model.safetensors").write_bytes(save(state))
            for moment in recipe["settings"]["training"]["snapshots"]:
                shutil.copy(resume / file_of(moment), weights)
        with (out / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, trained["history"][0].keys() if trained["history"] else ["epoch"])
            writer.writeheader()
            writer.writerows(trained["history"])
        np.savez_compressed(out / "predictions.npz", **trained["predictions"])
        if trained["weight_norms"]:
            np.savez_compressed(out / "weight_norms.npz", **trained["weight_norms"])
        (out / "metrics.json").write_text(
            json.dumps(trained["metrics"], indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
    shutil.rmtree(resume, ignore_errors=True)


if __name__ == "__main__":
    cli.run(main)
