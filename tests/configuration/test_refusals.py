"""Rows that lack what a registered method needs are refused in one line before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from avbalance.configuration.project import read_project
from avbalance.configuration.resolved import Scope
from avbalance.configuration.rows import read_rows
from avbalance.configuration.signature import describe
from avbalance.configuration.table_schema import Table
from avbalance.errors import UserError
from avbalance.registry import METHODS_OF_ROW, registered
from avbalance.requirements import declared_by

ROOT = Path(__file__).parents[2]
RESNET = {"resnet18": {"width": 8}}
BRANCH = {"inception_v3": {"branch": True}}
CHANGES: dict[str, dict[str, Any]] = {
    "equal_dims": {"encoder": {"audio": RESNET, "visual": "conv2net"}},
    "joins_stages": {"encoder": BRANCH},
    "keeps_apart": {"fusion": "film"},
    "keeps_encoders_apart": {"fusion": "mmtm"},
    "needs_branch": {"encoder": RESNET},
    "reads_maps": {"encoder": BRANCH},
    "requires_fusion": {"fusion": "concat"},
    "requires_head": {"head": "two_layer"},
    "requires_loss": {"loss": "uncertainty"},
    "scales_gradients": {"training": {"optimizer": "adam"}},
    "several_modalities": {"modalities": ["audio"]},
    "tasks": {"dataset": "mini_audioset"},
    "two_modalities": {"modalities": ["audio", "flow", "visual"]},
    "weighs_heads": {"loss": {"unimodal": {"weight": 0.5}}},
}
"""{attribute that declares a need: keys of a row that does not meet it}."""
ELSEWHERE = ("requires_package", "uses_blend", "uses_teachers")
"""Needs that no key of a row can leave unmet; `test_jacobian_descent.py` is refused without its package."""


@pytest.fixture(scope="module")
def scope() -> Scope:
    project = read_project(ROOT, {})
    return Scope(project.scale, project.datasets, project.models)


def attributes(kind: str, name: str) -> dict[str, Any]:
    return describe(kind, name).attributes


def fitting(kind: str, name: str) -> dict[str, Any]:
    """Keys of a row with a method and all that it needs."""
    declared = attributes(kind, name)
    needed = {other: names[0] for other in ("fusion", "head", "loss") if (names := declared.get(f"requires_{other}"))}
    return {
        "dataset": "grid_letter",
        "modalities": ["audio", "visual"],
        "encoder": BRANCH if declared.get("needs_branch") else RESNET,
        "training": {"optimizer": "sgd"},
        **needed,
        kind: name,
    }


def read(row: dict[str, Any], scope: Scope) -> None:
    """Read a table with the row, whose optimiser is the table's, for a row's own may be any."""
    table = Table.model_validate(
        {"title": "Mine", "paper": "ours", "defaults": row, "rows": {"mine": {}}, "columns": ["accuracy"]}
    )
    read_rows(table, Path("mine.yaml"), scope)


METHODS = [(kind, name) for kind in METHODS_OF_ROW for name in registered(kind)]
NEEDS = [
    (kind, name, requirement.attribute)
    for kind, name in METHODS
    for requirement, _ in declared_by(attributes(kind, name))
    if requirement.attribute not in (*ELSEWHERE, "by_modality")
    and not (requirement.attribute == "tasks" and "multi_label" in attributes(kind, name)["tasks"])
]


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_a_row_with_all_that_a_method_needs_is_read(kind: str, name: str, scope: Scope) -> None:
    read(fitting(kind, name), scope)


@pytest.mark.parametrize(("kind", "name", "attribute"), sorted(set(NEEDS)))
def test_a_row_that_lacks_what_a_method_needs_is_refused_in_one_line(
    kind: str, name: str, attribute: str, scope: Scope
) -> None:
    row = fitting(kind, name) | CHANGES[attribute]
    with pytest.raises(UserError) as error:
        read(row, scope)
    said = str(error.value)
    texts = [text for requirement, text in declared_by(attributes(kind, name)) if requirement.attribute == attribute]
    assert "\n" not in said
    assert said.startswith(
        "mine.yaml: rows.mine."
    )  # or a method that this one needs is refused first, as mmtm of greedy
    assert any(f" needs {text}, found " in said for text in texts)
    assert "; " in said


@pytest.mark.parametrize(
    ("kind", "name", "option"),
    [(kind, name, option) for kind, name in METHODS for option in attributes(kind, name).get("by_modality", ())],
)
def test_more_values_than_modalities_are_refused(kind: str, name: str, option: str, scope: Scope) -> None:
    read({**fitting(kind, name), kind: {name: {option: [0.5, 0.5]}}}, scope)
    with pytest.raises(UserError, match=f"'{name}' needs at most one value of `{option}` for each modality, found 3"):
        read({**fitting(kind, name), kind: {name: {option: [0.5, 0.5, 0.5]}}}, scope)


def takes_three(name: str) -> bool:
    """Whether neither the balancer nor the fusion that it needs is limited to two modalities."""
    fusion = fitting("balancer", name).get("fusion", "concat")
    return not (attributes("balancer", name)["two_modalities"] or attributes("fusion", fusion)["two_modalities"])


@pytest.mark.parametrize(
    "name", [name for name in registered("balancer") if name != "auxiliary_branch" and takes_three(name)]
)
def test_a_balancer_that_two_modalities_do_not_limit_is_read_with_three(name: str, scope: Scope) -> None:
    read({**fitting("balancer", name), "modalities": ["audio", "flow", "visual"]}, scope)
