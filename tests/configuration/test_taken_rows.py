import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from avbalance import plan
from avbalance.configuration.project import read_project
from avbalance.configuration.resolved import ResolvedRow
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
HEAD = "title: Mine\npaper: ours\ncolumns: [accuracy]\n"
BASE = """
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}, training: {epochs: 3}}
rows:
  joint: {label: Joint}
  cosine: {label: Cosine, head: cosine}
"""
Read = Callable[..., dict[str, dict[str, ResolvedRow]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Rows of tables, given as {name: YAML below title, paper and columns}."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.rmtree(tmp_path / "config" / "tables")
    (tmp_path / "config" / "tables").mkdir()
    (tmp_path / "config" / "scales" / "laptop.yaml").unlink()  # it names tables

    def rows(**tables: str) -> dict[str, dict[str, ResolvedRow]]:
        for name, text in {"base": BASE, **tables}.items():
            (tmp_path / "config" / "tables" / f"{name}.yaml").write_text(HEAD + text, encoding="utf-8")
        return read_project(tmp_path, {}).rows

    return rows


def test_all_rows_are_taken_with_the_defaults_of_their_table(read: Read) -> None:
    rows = read(mine="rows_of: base")
    assert rows["mine"] == rows["base"]


def test_rows_are_taken_by_name_in_the_order_of_the_names(read: Read) -> None:
    assert list(read(mine="rows_of: {base: [cosine, joint]}")["mine"]) == ["cosine", "joint"]
    assert list(read(mine="rows_of: {base: [cosine]}")["mine"]) == ["cosine"]


def test_defaults_apply_to_taken_rows_and_own_rows_override_fields_or_are_added(read: Read) -> None:
    text = "rows_of: base\ndefaults: {dataset: grid_letter, encoder: conv2net, modalities: [visual], head: mlp}\n"
    rows = read(mine=text + "rows: {joint: {label: Mine}, other: {loss: unimodal}}")["mine"]
    assert list(rows) == ["joint", "cosine", "other"]
    assert {row.dataset for row in rows.values()} == {"grid_letter"}
    assert [name for row in rows.values() for name in row.methods["head"]] == ["mlp", "cosine", "mlp"]
    assert {row.training["epochs"] for row in rows.values()} == {3}  # the defaults of base
    assert [row.label for row in rows.values()] == ["Mine", "Cosine", "other"]


def test_rows_of_a_table_that_takes_rows_are_taken_on(read: Read) -> None:
    rows = read(middle="rows_of: base\nrows: {other: {loss: unimodal}}", mine="rows_of: {middle: [other, joint]}")
    assert rows["mine"] == {name: rows["middle"][name] for name in ("other", "joint")}


def test_each_is_taken_too_unless_the_table_has_its_own(read: Read) -> None:
    words = "rows_of: base\ndefaults: {encoder: conv2net, modalities: [visual]}\neach: {dataset: [grid_digit, avmnist]}"
    rows = read(words=words, same="rows_of: words", other="rows_of: words\neach: {dataset: [cremad]}")
    assert list(rows["words"]) == ["grid_digit_joint", "grid_digit_cosine", "avmnist_joint", "avmnist_cosine"]
    assert rows["same"] == rows["words"]
    assert list(rows["other"]) == ["cremad_joint", "cremad_cosine"]
    assert {row.dataset for row in rows["other"].values()} == {"cremad"}


def test_expected_numbers_of_a_table_that_takes_each_are_by_value(read: Read) -> None:
    words = "rows_of: base\neach: {dataset: [avmnist]}"
    read(words=words, mine="rows_of: words\nexpected: {avmnist: {joint: {accuracy: 50}}}")
    with pytest.raises(UserError, match=r"mine.yaml: expected.mnist is not a value of each; allowed: avmnist"):
        read(words=words, mine="rows_of: words\nexpected: {mnist: {joint: {accuracy: 50}}}")


def test_rows_of_several_tables_bear_the_name_of_their_table_and_its_defaults(read: Read) -> None:
    other = "defaults: {dataset: mnist, encoder: conv2net}\nrows: {joint: {label: Joint}, more: {head: mlp}}"
    rows = read(other=other, mine="rows_of: {base: all, other: [joint]}")
    assert rows["mine"] == {
        "base_joint": rows["base"]["joint"],
        "base_cosine": rows["base"]["cosine"],
        "other_joint": rows["other"]["joint"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rows_of: bse", "tables/mine.yaml: rows_of: 'bse' is not a table; did you mean 'base'?"),
        ("rows_of: {base: [cosin]}", "tables/mine.yaml: rows_of.base: 'cosin' is not a row; did you mean 'cosine'?"),
        ("rows_of: {}", "tables/mine.yaml: rows_of"),
        ("rows_of: {base: []}", "tables/mine.yaml: rows_of.base"),
        ("rows_of: {base: every}", "tables/mine.yaml: rows_of.base"),
        ("rows_of: mine", "tables/mine.yaml: rows_of: mine takes rows of mine"),
        ("rows_of: contrastive", "tables/mine.yaml: rows_of: rows of runs and rows of formulas differ"),
        ("rows: {}", "tables/mine.yaml: rows is empty; give at least one, or rows_of"),
    ],
)
def test_rows_that_cannot_be_taken_are_refused_in_one_line(read: Read, text: str, expected: str) -> None:
    computed = "rows: {row: {sim_positive: 0.5, sim_negative: 0.5}}\ncompute: contrastive_factors".replace(
        "columns: [accuracy]", "columns: [f_xent]"
    )
    with pytest.raises(UserError) as error:
        read(mine=text, contrastive=computed)
    assert "\n" not in str(error.value)
    assert expected in str(error.value)


def test_tables_that_take_rows_of_each_other_are_named(read: Read) -> None:
    with pytest.raises(UserError, match=r"rows_of: a takes rows of b takes rows of c takes rows of a"):
        read(a="rows_of: b", b="rows_of: c", c="rows_of: a")


def test_one_short_table_compares_a_method_with_all_others_on_every_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of docs/adding.md."""
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    example = (
        text.split("## Compare a method with all others on every dataset")[1].split("```yaml\n")[1].split("```")[0]
    )
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "tables" / "mine.yaml").write_text(example, encoding="utf-8")
    method = "from avbalance.balancers.base import Balancer\nclass HeadFirst(Balancer):\n    pass\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "head_first.py").write_text(method, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    planned = plan.make(tmp_path, {"tables": "mine", "seeds": 0})
    content = yaml.safe_load(example)
    ((_, datasets),) = content["each"].items()
    rows = planned.project.rows["mine"]
    others = planned.project.rows["grid_balancers"]
    assert list(rows) == [f"{dataset}_{row}" for dataset in datasets for row in [*others, *content["rows"]]]
    assert {row.dataset for row in rows.values()} == set(datasets)
    assert sum("mine.head_first:HeadFirst" in row.methods["balancer"] for row in rows.values()) == len(datasets)
