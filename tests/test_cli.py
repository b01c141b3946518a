"""Command lines of the steps follow from the parameters of their functions."""

import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from avbalance import cli

ROOT = Path(__file__).parents[1]
STEPS = {
    "train": "recipe out weights device threads resume checkpoint_seconds",
    "tune": "recipe out",
    "combine": "recipe out",
    "blend": "recipe out device threads resume",
    "probe": "recipe out device threads resume memory",
    "prepare.download": "recipe out mirror cache",
    "prepare.select_clips": "recipe out",
    "prepare.make_shards": "recipe part parts threads device",
    "prepare.pack": "recipe out threads device",
    "prepare.media": "recipe out threads device",
    "prepare.audit": "recipe out stamp",
    "results.tables": "recipe out stamp",
    "results.figures": "recipe out stamp",
    "results.page": "recipe out stamp",
}


@pytest.mark.parametrize("name", STEPS)
def test_every_step_has_its_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = import_module(f"avbalance.{name}")
    assert list(inspect.signature(step.run).parameters) == STEPS[name].split()
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as leaving:
        step.main()
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{option.replace('_', '-')} " in text for option in STEPS[name].split())


def test_every_option_belongs_to_a_step() -> None:
    assert set(cli.OPTIONS) == {option for options in STEPS.values() for option in options.split()}


def test_options_are_converted_defaults_kept_and_the_recipe_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[dict[str, Any]] = []

    def run(recipe: dict[str, Any], out: Path, threads: int = 1, checkpoint_seconds: float = 20) -> None:
        calls.append({"recipe": recipe, "out": out, "threads": threads, "checkpoint_seconds": checkpoint_seconds})

    (tmp_path / "recipe.json").write_text(json.dumps({"name": "x"}), encoding="utf-8")
    line = ["step", f"--recipe={tmp_path / 'recipe.json'}", "--out=made", "--checkpoint-seconds=0.5"]
    monkeypatch.setattr(sys, "argv", line)
    cli.step("A step.", run)
    assert calls == [{"recipe": {"name": "x"}, "out": Path("made"), "threads": 1, "checkpoint_seconds": 0.5}]
    monkeypatch.setattr(sys, "argv", line[:2])
    with pytest.raises(SystemExit) as leaving:
        cli.step("A step.", run)
    assert leaving.value.code == 2
    assert "required: --out" in capsys.readouterr().err
