"""Requirements that methods declare on their row, in one list for errors, for the catalogue and for fusions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

from avbalance.errors import UserError


@dataclass(frozen=True)
class Encoder:
    """Facts about the encoder of one modality.

    Attributes:
        feature_dim: Length of its features; None if only its constructor knows it.
    """

    name: str
    feature_dim: int | None
    has_maps: bool = False
    has_branch: bool = False


@dataclass(frozen=True)
class Combination:
    """Facts about a row that requirements look at.

    Attributes:
        encoders: {modality: encoder}.
        mixes: True if a stream of the fusion depends on more than one modality.
        joins_stages: True if the fusion lets encoders exchange maps.
        optimizer: None if the row names its optimiser itself, to show what a method does under it.
        options: {option: value} of the method that is checked.
    """

    encoders: Mapping[str, Encoder]
    task: str = "single_label"
    fusion: str = "concat"
    mixes: bool = False
    joins_stages: bool = False
    head: str = "linear"
    loss: str = "joint"
    loss_weight: float = 1.0
    is_pretrained: bool = False
    is_probed: bool = False
    optimizer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Requirement:
    """Something that a method may need.

    Attributes:
        attribute: Class attribute that declares the need, by being true or by the names that are allowed.
        needs: What the method needs; `{}` stands for the allowed names.
        actual: What a combination has instead, given the attribute's value; empty where the need is met.
        remedy: What to do about it; `{}` stands for the first of the names.
    """

    attribute: str
    needs: str
    actual: Callable[[Combination, Any], str]
    remedy: str


def _dims(row: Combination) -> str:
    dims = {modality: encoder.feature_dim for modality, encoder in row.encoders.items()}
    return (
        ", ".join(f"{modality} {dim}" for modality, dim in dims.items()) if len({*dims.values()} - {None}) > 1 else ""
    )


def _without_maps(row: Combination) -> str:
    return ", ".join(f"{each.name!r} for {name}" for name, each in row.encoders.items() if not each.has_maps)


@cache
def is_installed(package: str) -> bool:
    """Return True if a package can be imported."""
    return find_spec(package) is not None


def _modalities(row: Combination, is_met: bool) -> str:
    return "" if is_met else ", ".join(row.encoders)


def _too_many(row: Combination, options: Sequence[str]) -> str:
    numbers = {option: len(row.options.get(option) or ()) for option in options}
    return ", ".join(
        f"{number} for {', '.join(row.encoders)}" for number in numbers.values() if number > len(row.encoders)
    )


REQUIREMENTS = (
    Requirement(
        "two_modalities",
        "exactly two modalities",
        lambda row, _: _modalities(row, len(row.encoders) == 2),
        "choose two modalities, or another method",
    ),
    Requirement(
        "several_modalities",
        "two modalities or more",
        lambda row, _: _modalities(row, len(row.encoders) > 1),
        "choose more modalities, or another method",
    ),
    Requirement(
        "tasks",
        "{} data",
        lambda row, tasks: "" if row.task in tasks else f"{row.task} data",
        "choose another dataset or another method",
    ),
    Requirement(
        "equal_dims",
        "encoders of one feature length",
        lambda row, _: _dims(row),
        "choose encoders of one feature_dim, or another method",
    ),
    Requirement(
        "reads_maps",
        "encoders with feature maps",
        lambda row, _: _without_maps(row),
        "choose encoders of the ResNet families, or another method",
    ),
    Requirement(
        "reads_maps",
        "encoders that are not `pretrained`",
        lambda row, _: "pretrained ones" if row.is_pretrained else "",
        "it cuts the encoders, so whole ones do not fit: leave pretrained out",
    ),
    Requirement(
        "joins_stages",
        "encoders with feature maps",
        lambda row, _: _without_maps(row),
        "choose encoders of the ResNet families, or another method",
    ),
    Requirement(
        "joins_stages",
        "a row without probes",
        lambda row, _: "probe" if row.is_probed else "",
        "its encoders exchange maps, so none is probed alone: leave probe out",
    ),
    Requirement(
        "requires_fusion",
        "fusion {}",
        lambda row, names: "" if row.fusion in names else f"{row.fusion!r}",
        "choose that fusion, or another method",
    ),
    Requirement(
        "requires_loss",
        "loss {}",
        lambda row, names: "" if row.loss in names else f"{row.loss!r}",
        "choose that loss, or another method",
    ),
    Requirement(
        "keeps_apart",
        "a fusion that keeps modalities apart",
        lambda row, _: f"{row.fusion!r}" if row.mixes else "",
        "choose concat, or another method",
    ),
    Requirement(
        "keeps_encoders_apart",
        "a fusion behind the encoders",
        lambda row, _: f"{row.fusion!r}" if row.joins_stages else "",
        "that one joins the encoders, so that each loss reaches all of them: choose another fusion, or another method",
    ),
    Requirement(
        "requires_head",
        "head {}",
        lambda row, names: "" if row.head in names else f"{row.head!r}",
        "choose that head, or another method",
    ),
    Requirement(
        "weighs_heads",
        "`weight` of the loss at 1",
        lambda row, _: "" if row.loss_weight == 1 else str(row.loss_weight),
        "it weighs the heads itself: leave the weight out",
    ),
    Requirement(
        "needs_branch",
        "an encoder with an auxiliary branch",
        lambda row, _: "" if any(each.has_branch for each in row.encoders.values()) else "none",
        "choose an encoder whose option branch is true, or another method",
    ),
    Requirement(
        "scales_gradients",
        "optimizer `sgd`",
        lambda row, _: "" if row.optimizer in ("sgd", None) else f"{row.optimizer!r}",
        "it scales gradients, which other optimizers undo: train the table with optimizer: sgd, or, to show this, name "
        "the optimizer in the row's own training",
    ),
    Requirement(
        "requires_package",
        "the package {}",
        lambda _, names: ", ".join(f"no {name!r}" for name in names if not is_installed(name)),
        "install the extra of that name: pip install -e '.[{}]'",
    ),
    Requirement("by_modality", "at most one value of {} for each modality", _too_many, "leave values out"),
    Requirement("uses_blend", "the row's uni-modal and joint runs, which are trained first", lambda *_: "", ""),
    Requirement("uses_teachers", "the row's uni-modal runs, which are trained first", lambda *_: "", ""),
)


def declared_by(attributes: Mapping[str, Any]) -> Iterator[tuple[Requirement, str]]:
    """Requirements that a class declares by its attributes, each with the text of what the class needs."""
    for requirement in REQUIREMENTS:
        if value := attributes.get(requirement.attribute):
            yield requirement, requirement.needs.format(names(value))


def names(value: Any) -> str:  # noqa: ANN401
    """The names that an attribute allows, as text; empty if it allows none by name."""
    return " or ".join(f"`{name}`" for name in value) if isinstance(value, tuple | list) else ""


def check(kind: str, name: str, attributes: Mapping[str, Any], row: Combination) -> None:
    """Refuse a combination that lacks what one of its methods needs.

    Raises:
        UserError: Names the method, what it needs, what the combination has, and the remedy.
    """
    for requirement in REQUIREMENTS:
        value = attributes.get(requirement.attribute)
        if value and (actual := requirement.actual(row, value)):
            needs = requirement.needs.format(names(value))
            remedy = requirement.remedy.format(value[0] if isinstance(value, tuple | list) else "")
            raise UserError(f"{kind}: {name!r} needs {needs}, found {actual}; {remedy}")
