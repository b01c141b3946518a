import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from avbalance.errors import UserError
from avbalance.results import figures, findings, page

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "config/findings/laptop.md").read_text(encoding="utf-8")


def render(template: str) -> str:
    return findings.render(template, findings.Facts("laptop"))


@pytest.fixture
def leaderboard(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    """The demonstration's rows as a leaderboard."""
    spec = settings["spec"] | {"figure": {"leaderboard": {"baselines": ["worse"]}}}
    about = settings | {"table": "board", "spec": spec}
    Path("results/figures/laptop").mkdir(parents=True)
    for suffix, content in figures.report(about).items():
        if suffix == ".json":
            Path("results/figures/laptop/board.json").write_text(str(content), encoding="utf-8")


def test_the_page_and_the_document_say_the_same_five_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tables = [file.stem for kind in ("tables", "figures") for file in Path("results", kind, "laptop").glob("*.json")]
    sentences = findings.in_short(TEMPLATE, "laptop", tables)
    assert [finding.problem for finding in sentences] == [""] * 5
    document = " ".join(Path("docs/findings.md").read_text(encoding="utf-8").split())
    for finding in sentences:
        assert finding.text in document
        assert findings.INTERVAL.search(finding.text)


def test_the_page_shows_the_sentences_with_their_tables(made: list[str]) -> None:
    template = '- **Better** is right in {{ value("demo_table1", "better", "accuracy") }} %.\n'
    template += '- Absent: {{ value("x", "a", "b") }}.\n'
    shown = page.render("laptop", made, template=template)
    assert "<b>Better</b> is right in 93.8 ± 79.4 %." in shown
    assert '<span class="sources"><a href="#demo_table1">demo_table1</a></span>' in shown
    assert "Absent" not in shown  # of a table that this page does not show
    contradicted = '- It {{ claim("demo_table1", "better_beats_worse", "fails") }}.\n'
    shown = page.render("laptop", made, template=contradicted)
    assert "claim better_beats_worse is &#39;holds&#39;, but the sentence says &#39;fails&#39;" in shown


def test_a_table_that_waits_for_runs_gives_no_sentence(made: list[str], settings: dict[str, Any]) -> None:
    table, figure = made
    planned = f"{table.rpartition('.')[0]}.ba9876543210"
    Path("results/recipes").mkdir(exist_ok=True)
    Path(f"results/recipes/{Path(planned).name}.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    template = '- **Better** is right in {{ value("demo_table1", "better", "accuracy") }} %.\n'
    shown = page.render("laptop", [planned, figure], template=template)
    assert "1 of them built from the runs that exist." in shown
    assert "Unfinished: built from the runs that exist." in shown
    assert "<b>Better</b> is right" not in shown  # the file still has the numbers of older runs


def test_numbers_come_with_their_intervals(made: list[str]) -> None:
    claim = json.loads(Path("results/tables/laptop/demo_table1.json").read_text(encoding="utf-8"))["claims"][0]
    text = render('- It gains {{ claim("demo_table1", "better_beats_worse", "holds") }}.')
    assert text == f"- It gains +75.00 points [+{claim['low']:.2f}, +{claim['high']:.2f}]."
    assert render('{{ verdicts("holds") }}') == "1 of 1"


def test_a_leaderboard_gives_gains_counts_and_the_first(leaderboard: None) -> None:
    gain = render('{{ gain("board", "better", "above") }}')
    assert re.fullmatch(r"\+75.00 points \[\+[\d.]+, \+[\d.]+\]", gain)
    assert render('{{ first("board") }}') == f"Better_row, {gain}"
    assert render('{{ count("board", "above") }}') == "1 of 1"
    assert render('{{ count("board", "below") }}') == "0 of 1"


def test_a_correlation_has_its_interval_and_side() -> None:
    facts = findings.Facts("laptop")
    facts._file = lambda folder, name: {"correlations": {"all": [-0.31, -0.52, -0.07]}}  # type: ignore[method-assign]
    assert facts.correlation("balance_accuracy", "below") == "−0.31 [−0.52, −0.07]"
    with pytest.raises(UserError, match="'below', but the sentence says 'unclear'"):
        facts.correlation("balance_accuracy", "unclear")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("- It gains much.", "the sentence 'It gains much.' has no interval"),
        ('- It has {{ value("demo_table1", "better", "accuracy") }} %. It is best.', "'It is best.' has no interval"),
        ("It gains 7.5 points.", "7.5 is typed; take it from a table"),
        ('{{ value("demo_table1", "bettr", "accuracy") }}', "row 'bettr' does not exist; did you mean 'better'"),
        ('{{ value("demo_table1", "better", "acuracy") }}', "'acuracy' does not exist; did you mean 'accuracy'"),
        ('{{ claim("demo_table1", "x", "holds") }}', "claim 'x' does not exist"),
        ('{{ claim("demo_table1", "better_beats_worse", "fails") }}', "is 'holds', but the sentence says 'fails'"),
        ('{{ value("demo", "better", "accuracy") }}', "demo.json is missing; make it with"),
        ("{{ valu() }}", "'valu' is undefined; a .* may call value, claim"),
    ],
)
def test_a_sentence_that_the_tables_do_not_bear_is_refused(made: list[str], template: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        render(template)


def test_the_order_of_the_page_names_tables_that_exist() -> None:
    order = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["page_order"]
    for pattern in order:
        assert list((ROOT / "config/tables").glob(f"{pattern}.yaml")), pattern
