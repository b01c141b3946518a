import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from avbalance import plan
from avbalance.configuration.project import Project, read_project
from avbalance.configuration.resolved import ResolvedRow
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
COLUMNS = "columns: [accuracy]\n"
BASE = """
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}, training: {epochs: 3}}
rows:
  joint: {label: Joint}
  cosine: {label: Cosine, head: cosine}
"""
Read = Callable[..., dict[str, dict[str, ResolvedRow]]]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Project of tables given as {name: YAML below title and paper}."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.rmtree(tmp_path / "config" / "tables")
    (tmp_path / "config" / "tables").mkdir()
    for scale in ("laptop", "paper"):  # they name tables
        (tmp_path / "config" / "scales" / f"{scale}.yaml").unlink()

    def read(**tables: str) -> Project:
        for name, text in tables.items():
            file = tmp_path / "config" / "tables" / f"{name}.yaml"
            file.write_text("title: Mine\npaper: ours\n" + text, encoding="utf-8")
        return read_project(tmp_path, {})

    return read


@pytest.fixture
def read(project: Callable[..., Project]) -> Read:
    """Rows of tables, given as {name: YAML below title, paper and columns}."""

    def rows(**tables: str) -> dict[str, dict[str, ResolvedRow]]:
        return project(**{name: COLUMNS + text for name, text in {"base": BASE, **tables}.items()}).rows

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
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    planned = plan.make(tmp_path, {"tables": "mine", "seeds": 0})
    content = yaml.safe_load(example)
    ((_, datasets),) = content["each"].items()
    rows = planned.project.rows["mine"]
    others = planned.project.rows["balance_grid_letter"]
    assert list(rows) == [f"{dataset}_{row}" for dataset in datasets for row in [*others, *content["rows"]]]
    assert {row.dataset for row in rows.values()} == set(datasets)
    assert sum("mine.head_first:HeadFirst" in row.methods["balancer"] for row in rows.values()) == len(datasets)


def test_a_table_of_all_rows_takes_columns_and_claims_unless_it_has_its_own(project: Callable[..., Project]) -> None:
    claim = "claims: {better: {text: It helps., metric: accuracy, relation: '>', left: cosine, right: joint}}\n"
    tables = project(
        base=BASE + "columns: [accuracy, acc_*_alone]\n" + claim,
        other="rows_of: base\ndefaults: {dataset: grid_letter, encoder: conv2net, modalities: [visual, flow]}\n",
        own="rows_of: base\ncolumns: [accuracy]\n",
    ).tables
    assert tables["base"].columns == ["accuracy", "acc_audio_alone", "acc_visual_alone"]
    assert tables["other"].columns == ["accuracy", "acc_visual_alone", "acc_flow_alone"]
    assert list(tables["other"].claims) == ["better"]
    assert (tables["own"].columns, tables["own"].claims) == (["accuracy"], {})


def test_a_scale_runs_a_part_of_a_table_without_the_claims_about_other_rows(project: Callable[..., Project]) -> None:
    claims = (
        "claims: {better: {text: It helps., metric: accuracy, relation: '>', left: cosine, right: joint}, "
        "itself: {text: It is seen., metric: accuracy, relation: '>', left: joint, right_metric: acc_visual_alone}}\n"
    )
    base = BASE + "columns: [accuracy, acc_visual_alone]\nexpected: {cosine: {accuracy: 50}}\n" + claims
    base += 'part: {miniature: ["*", "!cos*"]}\n'
    part = project(base=base, mine="rows_of: base\n", some="rows_of: {base: all}\ncolumns: [accuracy]\n")
    assert {name: list(rows) for name, rows in part.rows.items()} == {
        name: ["joint"] for name in ("base", "mine", "some")
    }
    assert list(part.tables["base"].claims) == list(part.tables["mine"].claims) == ["itself"]
    assert part.tables["base"].expected == {}
    with pytest.raises(UserError, match=r"base.yaml: part.miniature: 'cosin' is not a row; did you mean 'cosine'"):
        project(base=base.replace("!cos*", "cosin"))
    with pytest.raises(UserError, match=r"base.yaml: part: 'minature' is not a scale; did you mean 'miniature'"):
        project(base=base.replace("miniature", "minature"))


def test_stretch_multiplies_what_is_counted_in_epochs(read: Read) -> None:
    rows = read(mine="rows_of: base\nrows: {twice: {training: {epochs: 3, decay_epochs: 2, stretch: 2}}}")["mine"]
    training, plain = rows["twice"].training, rows["joint"].training
    assert (training["epochs"], training["decay_epochs"]) == (6, 4)
    assert training["patience"] == 2 * plain["patience"]
    assert "stretch" not in training
    with pytest.raises(UserError, match=r"rows.twice.training.stretch"):
        read(mine="rows_of: base\nrows: {twice: {training: {stretch: 0}}}")


def test_rows_without_which_a_table_takes_another_go_with_their_claims(project: Callable[..., Project]) -> None:
    claim = "claims: {better: {text: It helps., metric: accuracy, relation: '>', left: cosine, right: joint}}\n"
    base = BASE + "columns: [accuracy]\n" + claim
    mine = project(base=base, mine="rows_of: base\nwithout: [cos*]\n").tables["mine"]
    assert (list(mine.rows), mine.claims) == (["joint"], {})
    with pytest.raises(UserError, match=r"mine.yaml: without: 'dosine' is not a row; did you mean 'cosine'"):
        project(base=base, mine="rows_of: base\nwithout: [dosine]\n")
    with pytest.raises(UserError, match=r"mine.yaml: without names rows that rows_of does not take"):
        project(base=base, mine=base + "without: [cosine]\n")
