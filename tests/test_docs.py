import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from avbalance import docs, registry
from avbalance.configuration import signature
from avbalance.configuration.table_schema import Row, TrialTraining

ROOT = Path(__file__).parents[1]
BALANCERS = list(registry.registered("balancer"))
TABLE = yaml.safe_load((ROOT / "config/tables/balance_grid_letter.yaml").read_text(encoding="utf-8"))
ROWS: dict[str, dict[str, Any]] = TABLE["rows"]
CHOICE = (ROOT / "docs/which_method.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> str:
    return docs.page()


def section(page: str, method: str) -> str:
    return page.split(f"\n### `{method}`\n")[1].split("\n##")[0]


def test_generated_files_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outdated = [path for path, text in docs.files().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert outdated == [], "make them anew: avbalance docs"


def test_every_kind_of_method_is_in_the_catalogue() -> None:
    assert set(docs.KINDS) == set(registry.KINDS) - {"formula"}  # a formula is no class with options


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("balancer: ogm_ge", "| `alpha` | `Positive` | `0.8` | Strength of the modulation, > 0. |"),  # as OGM says
        ("balancer: ogm_ge", "Needs: two modalities or more; `single_label` or `verification` data; optimizer `sgd`."),
        ("balancer: ogm", "    k_m   = 1 - tanh(alpha rho_m) if rho_m > 1 else 1"),
        (
            "balancer: g_blend_online",
            "Needs: two modalities or more; loss `unimodal`; a fusion behind the encoders; `weight` of the loss at 1.",
        ),
        ("fusion: film", "Needs: exactly two modalities."),
        ("fusion: low_rank", "| `rank` | `Count` | `4` | R, number of terms. |"),
        ("fusion: mid_concat", "Owens and Efros, ECCV 2018; G-Blend (Wang et al., CVPR 2020), fig. 1 and section 3.3."),
        ("head: cosine", "Gives: logits that are a sum over streams."),
        ("encoder: resnet18", "`fc` fits. Importing them from there would cost four seconds."),  # its base's last line
        ("encoder: resnet101", "Otherwise as [`resnet18`](#encoder-resnet18)."),
        ("encoder: resnet101", "| `width` | `Count` | `64` | Channels of the first stage; 64 in the paper. |"),
        (
            "view: waveform",
            "| `sample_rate` | `Count` | required | Sample rate of the waves that `render` takes, Hz. |",
        ),
        ("view: waveform", "Needs: sound."),
        ("data: voxceleb", "    vox1/wav/<u>.wav, voxceleb_videos/mp4/<u>.mp4            test of VoxCeleb1"),
        ("figure: confusion", "Needs: `single_label` data; one row."),
    ],
)  # fmt: skip
def test_a_section_says_what_a_method_is_takes_needs_and_gives(page: str, method: str, line: str) -> None:
    assert line in section(page, method).splitlines()


def test_every_option_is_explained(page: str) -> None:
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_a_method_that_promises_no_split_is_not_said_to_have_one(page: str) -> None:
    assert "Gives" not in section(page, "head: mlp")
    assert "Gives" not in section(page, "fusion: film")


def test_prose_has_no_html_and_code_is_as_it_is() -> None:
    text = docs._escaped("a <u> b `<u>` c\n    x <- y")
    assert text == "a \\<u> b `<u>` c\n    x <- y"


def named(name: str) -> list[Any]:
    """Names and {option: value} between backticks in a balancer's line `Here`."""
    return [yaml.safe_load(code) for code in re.findall("`([^`]+)`", docs.origins("balancer", name)["Here"])]


def options_in_rows(name: str) -> list[dict[str, Any]]:
    """Options of a balancer in the rows of balance_grid_letter and in their trials."""
    specs = [each.get("balancer", "joint") for row in ROWS.values() for each in (row, *row.get("trials", []))]
    return [spec[name] for spec in specs if isinstance(spec, dict) and name in spec]


@pytest.mark.parametrize("name", BALANCERS)
def test_a_balancer_tells_paper_code_and_itself_apart(name: str) -> None:
    told = docs.origins("balancer", name)
    assert tuple(told) == docs.ORIGINS, "write the three lines in the docstring of its class"
    assert all(text.endswith(".") for text in told.values())


@pytest.mark.parametrize("name", BALANCERS)
def test_options_and_rows_that_a_balancer_names_exist(name: str) -> None:
    options = signature.describe("balancer", name).options
    tables = {file.stem for file in (ROOT / "config/tables").glob("*.yaml")}
    for code in named(name):
        if isinstance(code, str):
            assert code in {*ROWS, *tables}, code
            continue
        ((key, value),) = code.items()
        if key in options:  # its default, or an option of a row
            signature.resolve("balancer", {name: code})
            assert any(value == given.get(key, options[key][1]) for given in ({}, *options_in_rows(name))), code
        elif key == "training":
            TrialTraining.model_validate(value)
            assert any(row.get(key) == value for row in ROWS.values()), code
        else:
            assert key in Row.model_fields
            assert any(row.get(key) == value for row in ROWS.values()), code


@pytest.mark.parametrize("name", BALANCERS)
def test_a_balancer_names_its_rows_of_other_names(name: str) -> None:
    rows = {row for row, given in ROWS.items() if "balancer" in given and registry.parse(given["balancer"])[0] == name}
    assert rows - {name, *(code for code in named(name) if isinstance(code, str))} == set()


def test_rows_that_a_method_has_to_beat_exist() -> None:
    lines = [line for line in CHOICE.split("\n## ")[1].splitlines() if line.startswith("| `")]
    assert {name for line in lines for name in re.findall(r"`(\w+)`", line)} <= set(ROWS)
    assert len(lines) == 6


def test_promises_on_the_weaker_modality_are_those_of_the_claims() -> None:
    listed = re.search(r"encoder of the weaker modality: (.*?)\n- ", CHOICE, re.DOTALL)
    assert listed
    claims = {claim["left"] for name, claim in TABLE["claims"].items() if name.endswith("_helps_the_weaker_modality")}
    assert set(re.findall(r"`(\w+)`", listed[1])) == claims


def test_costs_are_those_that_were_measured() -> None:
    (costs,) = (part for part in CHOICE.split("\n## ") if part.startswith("Costs\n"))
    ratios = re.findall(r"\d\.\d+", costs)
    measured = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8").split("`balancers.py`:")[1]
    assert len(ratios) == 10
    assert set(ratios) <= set(re.findall(r"\d\.\d+", measured))
