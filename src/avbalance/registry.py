"""Kinds of methods, and the search for a method by its name.

A specification is a name (`concat`) or a mapping of one name to its options (`{cosine: {scale: 10}}`).
A name with a colon (`mypackage.module:MyMethod`) is a method from outside.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from avbalance.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A kind of method.

    Attributes:
        folder: Package below `avbalance` that holds the methods and their `REGISTRY`, {name: "module:Class"}.
        num_given: Number of leading constructor arguments that the framework gives; the others are options.
        heading: Of the section in docs/methods.md; empty for a kind that has none.
        sentence: What such a method does and where it is named; opens the section.
    """

    folder: str
    num_given: int
    heading: str
    sentence: str


KINDS = {
    "encoder": Kind(
        "encoders",
        1,
        "Encoders",
        "An encoder turns one modality of a clip into one feature vector. Give one for all modalities, `encoder: "
        "resnet18`, or one for each, `encoder: {audio: conv1net, visual: conv2net}`.",
    ),
    "fusion": Kind(
        "fusions",
        1,
        "Fusions",
        "A fusion turns the features of several modalities into streams: one for each modality, or one named `joint`.",
    ),
    "head": Kind("heads", 2, "Heads", "A head turns streams into logits."),
    "loss": Kind(
        "losses", 2, "Losses", "A loss computes the terms of the objective from one batch's output and labels alone."
    ),
    "balancer": Kind(
        "balancers", 2, "Balancers", "A balancer changes joint training anywhere between data and gradients."
    ),
    "augmentation": Kind(
        "augmentations",
        0,
        "Augmentations",
        "An augmentation cuts and mirrors pictures of training clips: `training: {augment: random_resized_crop}`. "
        "Sound and the clips of validation and test stay as they are.",
    ),
    "feature_reduction": Kind(
        "reductions",
        1,
        "Feature reductions",
        "A feature reduction makes a layer's features small enough for a probe: `probe: {layers: [...], reduction: "
        "{projection: {num: 1000}}}`.",
    ),
    "view": Kind(
        "prepare.views",
        0,
        "Views",
        "A view turns a modality of a clip into an array: `prepare: {views: {visual: {faces: {...}}}}` of a dataset.",
    ),
    "detector": Kind(
        "prepare.detectors", 2, "Face detectors", "A detector finds faces: the option `detector` of the view `faces`."
    ),
    "data": Kind(
        "data",
        0,
        "Readers and generators",
        "A reader knows where a dataset's clips lie and what their labels are: `reader` of a dataset. A generator, "
        "`..._miniature`, makes small files of the same form.",
    ),
    "formula": Kind("results.formulas", 0, "", "A formula computes a table without runs: `compute` of a table."),
    "figure": Kind("results.plots", 0, "Figures", "A figure draws the rows of a table: `figure` of a table."),
}
METHODS_OF_ROW = ("fusion", "head", "loss", "balancer")
"""Kinds of which a row has one method each; of encoders it has one for each modality."""
Spec = str | Mapping[str, Mapping[str, Any] | None]
Method = dict[str, dict[str, Any]]
"""A specification with every option spelled out: {name: {option: value}}."""


def parse(spec: Spec) -> tuple[str, dict[str, Any]]:
    """Return the (name, options) of a specification."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise UserError(
            f"{spec!r} is not a method; write a name, or one name with its options {{name: {{option: value}}}}"
        )
    ((name, options),) = spec.items()
    if options is not None and not isinstance(options, Mapping):
        raise UserError(f"options of {name!r} are {options!r}; write {{option: value}}")
    return name, dict(options or {})


def nearest(name: str, allowed: list[str]) -> str:
    """Hint at the allowed names: the nearest one, whatever its case, or all of them."""
    lower = {each.lower(): each for each in allowed}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    if close:
        return f"did you mean {lower[close[0]]!r}?"
    return f"allowed: {', '.join(sorted(allowed))}" if allowed else "none is allowed"


def registered(kind: str) -> dict[str, str]:
    """{name: "module:Class"} of the methods of a kind in this package."""
    methods: dict[str, str] = import_module(f"avbalance.{KINDS[kind].folder}").REGISTRY
    return methods


@cache
def locate(kind: str, name: str) -> tuple[str, str]:
    """Module and class of a method."""
    if ":" in name:
        module, class_name = name.split(":", 1)
        return module, class_name
    methods = registered(kind)
    if name not in methods:
        article = "an" if kind[0] in "aeiou" else "a"
        raise UserError(f"{name!r} is not {article} {kind}; {nearest(name, list(methods))}")
    module, class_name = methods[name].split(":")
    return f"avbalance.{KINDS[kind].folder}.{module}", class_name


def methods_of(specs: Iterable[tuple[str, Method]]) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of resolved methods, given as (kind, method), and of those among their options."""
    for kind, method in specs:
        for name, options in method.items():
            yield kind, name
            yield from methods_of((option, value) for option, value in options.items() if option in KINDS and value)


def place(kind: str, name: str) -> str:
    """`module:class` of a method."""
    return ":".join(locate(kind, name))


def find(kind: str, spec: Spec) -> Any:  # noqa: ANN401
    """Class of a method."""
    module, class_name = locate(kind, parse(spec)[0])
    return getattr(import_module(module), class_name)


def load(kind: str, spec: Spec, *arguments: Any) -> Any:  # noqa: ANN401
    """Instance of a method: its class called with `arguments` and the options of the specification."""
    return find(kind, spec)(*arguments, **parse(spec)[1])
