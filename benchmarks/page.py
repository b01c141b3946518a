"""How large is the results page, how long does it take to make, to open, to sort and to filter?

`runs` is the page of one table of so many runs, five a row, each of 30 epochs and 2,000 test clips of ten classes;
`rows` that of a table of so many rows of five columns without runs. It is opened in a headless Chromium from disk;
`sort` and `filter` are from the event to the next frame that is drawn, the median of five; `panel` is the first row
opened, with its charts. It needs the package playwright and the Debian package chromium.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import print_conditions, print_table
from playwright.sync_api import Page, sync_playwright

from avbalance import cli, stamps, store
from avbalance.results import page, tables

COLUMNS = ["accuracy", "loss", "acc_audio_masked", "acc_visual_masked", "parameters"]
FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def settings_of(num_rows: int, num_seeds: int) -> dict[str, Any]:
    """Of a table of so many rows, all of which have the paper's accuracy beside theirs."""
    rows = {f"row_{number}": {"label": f"Row {number}"} for number in range(num_rows)}
    spec = {"title": "Many rows", "paper": "none", "columns": COLUMNS, "rows": rows, "claims": {}}
    spec["expected"] = {row: {"accuracy": 50.0} for row in rows}
    cells: dict[str, list[dict[str, Any]]] = {
        row: [{"seed": s, "run": f"results/runs/{row}-s{s}", "probe": None, "alone": {}} for s in range(num_seeds)]
        for row in rows
    }
    command = "snakemake --cores all --config scale=laptop tables=[many_rows]"
    return {"table": "many_rows", "scale": "laptop", "generated": [], "command": command, "spec": spec, "rows": cells}


def write_runs(settings: Mapping[str, Any]) -> None:
    """Publish every run of a table."""
    generator = np.random.default_rng(0)
    labels = generator.integers(10, size=2000)
    names = ["train_loss", "val_loss", "val_accuracy", "val_acc_masked_audio", "val_acc_masked_visual", "seconds"]
    for entry in (entry for entries in settings["rows"].values() for entry in entries):
        run = {"dataset": "demo", "encoder": {"audio": {"conv1net": {}}, "visual": {"conv2net": {}}}}
        recipe = {"step": "train", "name": Path(entry["run"]).name, "settings": run, "inputs": {}}
        logits = {
            f"test_{name}": generator.normal(size=(2000, 10)).astype(np.float16)
            for name in ("logits", "masked_audio", "masked_visual")
        }
        with store.publish(Path(entry["run"]), recipe) as out:
            np.savez(out / "predictions.npz", allow_pickle=False, test_label=labels, **logits)
            lines = [",".join(map(str, [epoch, *generator.random(len(names))])) for epoch in range(1, 31)]
            (out / "history.csv").write_text("\n".join([",".join(["epoch", *names]), *lines, ""]), encoding="utf-8")
            (out / "metrics.json").write_text(
                json.dumps({"num_parameters": 1_000_000, "train_seconds": 60.0}), encoding="utf-8"
            )


def make_page(settings: Mapping[str, Any]) -> tuple[Path, float]:
    """The page of a table, and the seconds that it took."""
    table = Path("results/tables/laptop/many_rows")
    stamps.write(table, tables.report(settings), Path(f"{table}.0123456789ab.key"), {"settings": settings})
    start = time.perf_counter()
    text = page.render("laptop", [f"{table}.0123456789ab"])
    seconds = time.perf_counter() - start
    file = Path("page.html").absolute()
    file.write_text(text, encoding="utf-8")
    return file, seconds


def time_it(shown: Page, event: str) -> float:
    """Milliseconds from an event, a JavaScript statement, to the next frame that is drawn."""
    timed = f"const start = performance.now(); {event}; await ({FRAME})(); return performance.now() - start"
    return float(shown.evaluate(f"async () => {{ {timed} }}"))


def measure(file: Path, has_runs: bool) -> list[float]:
    """Seconds until the page is loaded; milliseconds of sort, filter and the first panel (nan without runs)."""
    with sync_playwright() as starter:
        browser = starter.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1400, "height": 900})
        shown.set_default_timeout(120_000)
        start = time.perf_counter()
        shown.goto(f"file://{file}")
        shown.evaluate(FRAME)
        loaded = time.perf_counter() - start
        heading = "document.querySelectorAll('.rows thead button')[1].click()"
        sorted_in = median(time_it(shown, heading) for _ in range(5))
        words = ["7", "row 12", "99", "row", ""]
        box = "document.querySelector('input[type=search]')"
        typed = f"{box}.value = '%s'; {box}.dispatchEvent(new Event('input'))"
        filtered_in = median(time_it(shown, typed % word) for word in words)
        panel = float("nan")
        if has_runs:
            start = time.perf_counter()
            shown.evaluate("location.hash = 'many_rows/row_0'")
            shown.wait_for_selector("#panel svg")
            panel = 1000 * (time.perf_counter() - start)
        browser.close()
    return [loaded, sorted_in, filtered_in, panel]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", default=[500])
    parser.add_argument("--rows", type=int, nargs="*", default=[5000])
    arguments = parser.parse_args()
    print_conditions(runs=arguments.runs, rows=arguments.rows)
    page.render("laptop", [])  # bundles the charts' library, once in a process; counted as a page of nothing
    lines = []
    sizes = [("runs", size, -(-size // 5), 5) for size in arguments.runs]
    sizes += [("rows", size, size, 1) for size in arguments.rows]
    for kind, size, num_rows, num_seeds in sizes:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            settings = settings_of(num_rows, num_seeds)
            if kind == "runs":
                write_runs(settings)
            file, seconds = make_page(settings)
            loaded, *milliseconds = measure(file, kind == "runs")
            megabytes = file.stat().st_size / 1e6
            told = [f"{value:,.0f}" if value == value else "–" for value in milliseconds]
            lines.append((f"{size:,} {kind}", f"{seconds:.1f}", f"{megabytes:.1f}", f"{loaded:.2f}", *told))
            os.chdir("/")
    print_table(["page of", "made, s", "MB", "opened, s", "sort, ms", "filter, ms", "panel, ms"], lines)


if __name__ == "__main__":
    cli.run(main)
