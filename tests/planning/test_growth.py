"""The work of planning grows with the number of rows and no faster; instructions are counted, for times vary."""

import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from avbalance import plan

ROOT = Path(__file__).parents[2]
TABLE = """title: Many rows
paper: none
defaults: {dataset: avmnist}
columns: [accuracy, acc_audio_alone, acc_audio_probe]
rows:
"""
ROW = "  row_{0}: {{encoder: {{visual: conv2net, audio: {{conv1net: {{dropout: {1}}}}}}}}}\n"


def plan_rows(root: Path, num_rows: int) -> None:
    """Plan a table of so many rows, and find what its jobs wait for."""
    rows = (ROW.format(row, (row + 1) / (num_rows + 1)) for row in range(num_rows))
    (root / "config" / "tables" / "many_rows.yaml").write_text(TABLE + "".join(rows), encoding="utf-8")
    planned = plan.make(root, {"scale": "miniature", "tables": "many_rows", "seeds": [0]})
    for path in planned.artifacts:
        planned.needs(path)
    planned.notes()
    assert sum(artifact.kind == "runs" for artifact in planned.artifacts.values()) == 2 * num_rows + 1


def num_instructions(root: Path, num_rows: int) -> int:
    """Instructions of Python that `plan_rows` runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ANN401
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        plan_rows(root, num_rows)
    finally:
        sys.settrace(before)
    return count


def test_a_row_takes_as_long_to_plan_in_a_large_table_as_in_a_small_one(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for folder in ("tables", "scales"):
        for file in (tmp_path / "config" / folder).iterdir():
            if file.stem != "miniature":
                file.unlink()
    plan_rows(tmp_path, 1)  # the code is hashed once
    small, middle, large = (num_instructions(tmp_path, num_rows) for num_rows in (50, 150, 250))
    assert large - middle < 1.05 * (middle - small)
