"""A row with `combine`, in a clone that has the runs but neither data nor weights."""

import pandas as pd
from checkout import NOTHING, Checkout

ROWS = """rows:
  ensemble: {combine: {members: alone, temperature: true, weights: true}}
"""


def test_an_ensemble_is_made_of_stored_predictions_alone(pulled: Checkout) -> None:
    """Half a minute, for a table is built with the warm process, verified and planned."""
    pulled.edit("config/tables/two_rows.yaml", "rows:\n", ROWS)
    assert pulled.planned() == {"combine_runs": 1, "build_table": 1, "build_page": 1}
    pulled.snakemake()
    assert NOTHING in pulled.snakemake("-n")
    assert pulled.artifacts("weights") == pulled.artifacts("prep") == []
    assert len(pulled.artifacts("combined")) == 1
    table = pd.read_csv(pulled.path / "results/tables/small/two_rows.csv").query("row == 'ensemble'")
    values = table.set_index("column")["mean"]
    assert values["acc_audio_masked"] == values["acc_audio_alone"]
    assert 0 <= values["accuracy"] <= 100
    assert table.set_index("column")["num_seeds"].to_dict() == {
        "accuracy": 1,
        "acc_audio_alone": 1,
        "acc_audio_masked": 1,
        "acc_audio_probe": 0,
    }
    assert 'data-row="two_rows/ensemble"' in (pulled.path / "results/page/small.html").read_text(encoding="utf-8")
    said = pulled.run("python", "-m", "avbalance.verify", PYTHONPATH="src")
    assert "7 artifacts and 4 tables, figures, audits and pages verified; 1 tables are what their runs say" in said
    folders = pulled.run("python", "-m", "avbalance.plan", "scale=small", PYTHONPATH="src").split()
    assert f"results/combined/{pulled.artifacts('combined')[0].name}" in folders
