import io
import json
import shutil
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from avbalance.errors import UserError
from avbalance.results import figures


@pytest.fixture
def figure(runs: Callable[..., str], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a figure of the better row."""
    spec = settings["spec"]
    return settings | {
        "table": "demo_fig1",
        "spec": {
            "title": spec["title"],
            "paper": "Demo (Doe, 2020): Figure 1",
            "rows": {"better": spec["rows"]["better"]},
        },
        "rows": {"better": settings["rows"]["better"]},
    }


@pytest.fixture
def of_two_rows(figure: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a figure of both rows."""
    rows = settings["spec"]["rows"]
    return figure | {"spec": {**figure["spec"], "rows": rows}, "rows": settings["rows"]}


def draw(figure: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    figure["spec"]["figure"] = kind
    return figures.report(figure)


@pytest.mark.parametrize("kind", [{"curves": {}}, {"confusion": {}}])
def test_a_figure_comes_as_png_svg_and_json(figure: dict[str, Any], kind: dict[str, Any]) -> None:
    made = draw(figure, kind)
    assert made[".png"].startswith(b"\x89PNG")
    assert b"<svg" in made[".svg"]
    about = json.loads(made[".json"])
    assert about["title"] == "A demonstration of 100 % & more"
    assert about["provenance"]["num_runs"] == 2


LEADERBOARD = {"leaderboard": {"baselines": ["worse"]}}


def test_numbers_worth_a_table_come_as_csv_and_in_the_json(of_two_rows: dict[str, Any]) -> None:
    made = draw(of_two_rows, LEADERBOARD)
    frame = pd.read_csv(io.StringIO(made[".csv"]))
    assert frame["label"].tolist() == ["Better_row", "Worse row"]
    assert frame["gain"].tolist() == [75, 0]  # of eight clips 7.5 - 1.5
    numbers = json.loads(made[".json"])["numbers"]
    assert [line["gain"] for line in numbers["lines"]] == [75, 0]
    assert {column["name"] for column in numbers["columns"]} <= set(frame.columns)
    assert numbers["lines"][0]["passes"] is None  # these runs do not record any
    assert ".csv" not in draw(of_two_rows, {"gains": {"baseline": "worse", "columns": ["accuracy"]}})


@pytest.mark.parametrize("kind", [{"curves": {}}, {"confusion": {}}])
def test_the_same_runs_give_the_same_bytes(figure: dict[str, Any], kind: dict[str, Any]) -> None:
    assert draw(figure, kind) == draw(figure, kind)


def test_a_failed_run_is_said(figure: dict[str, Any]) -> None:
    shutil.rmtree("results/runs/better-s0")
    caption = json.loads(draw(figure, {"curves": {}})[".json"])["caption"]
    assert caption.startswith("Seed 1.")
    assert caption.endswith("Runs that failed: 1 of 2.")


def test_of_several_rows_it_is_said_whose_run_failed(of_two_rows: dict[str, Any]) -> None:
    shutil.rmtree("results/runs/worse-s1")
    made = draw(of_two_rows, {"gains": {"baseline": "worse", "columns": ["accuracy"]}})
    assert json.loads(made[".json"])["caption"].endswith("Runs that failed: 1 of 2 of Worse row.")


def test_a_row_without_runs_is_left_out_and_said(of_two_rows: dict[str, Any]) -> None:
    for seed in (0, 1):
        shutil.rmtree(f"results/runs/worse-s{seed}")
    with pytest.raises(UserError, match=r"figure demo_fig1: no other row has a run .* 'better'"):
        draw(of_two_rows, {"gains": {"baseline": "better", "columns": ["accuracy"]}})
    with pytest.raises(UserError, match="figure demo_fig1: baseline 'worse' is not a row with a run"):
        draw(of_two_rows, {"gains": {"baseline": "worse", "columns": ["accuracy"]}})


def test_a_figure_without_runs_is_an_error(figure: dict[str, Any]) -> None:
    for seed in (0, 1):
        shutil.rmtree(f"results/runs/better-s{seed}")
    with pytest.raises(UserError, match="every run of row 'better' failed"):
        draw(figure, {"curves": {}})


def test_two_rows_with_one_label_are_an_error(of_two_rows: dict[str, Any]) -> None:
    of_two_rows["spec"]["rows"] = {"better": {"label": "Row"}, "worse": {"label": "Row"}}
    with pytest.raises(UserError, match="two of rows 'better', 'worse' have the same label"):
        draw(of_two_rows, {"gains": {"baseline": "worse", "columns": ["accuracy"]}})


def test_the_same_runs_give_the_same_numbers(of_two_rows: dict[str, Any]) -> None:
    assert draw(of_two_rows, LEADERBOARD) == draw(of_two_rows, LEADERBOARD)


def test_an_unknown_kind_of_figure_is_named(figure: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="'curve' is not a figure; did you mean 'curves'"):
        draw(figure, {"curve": {}})
