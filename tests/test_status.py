import copy
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from avbalance import owners, pace, plan, progress, status, store
from avbalance.errors import UserError
from avbalance.owners import SILENT_SECONDS
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.status import stale, survey, time_left


def names(planned: Plan, folder: str) -> list[str]:
    """Slug and key of a folder's artifacts, in the order of the plan."""
    return [artifact.name for artifact in planned.artifacts.values() if artifact.folder == folder]


def find(planned: Plan, name: str) -> Artifact:
    (artifact,) = (artifact for artifact in planned.artifacts.values() if artifact.name == name)
    return artifact


def finish(planned: Plan, name: str, seconds: float = 1.0) -> None:
    """What a step that took `seconds` leaves."""
    artifact = find(planned, name)
    for product in artifact.products.values():
        file = planned.project.root / product
        file.parent.mkdir(parents=True, exist_ok=True)
        manifest = {"recipe": artifact.recipe, "files": {}, "provenance": {"seconds": seconds}}
        file.write_text(
            json.dumps(manifest if file.name == store.MANIFEST else {**artifact.recipe, "files": {}}), encoding="utf-8"
        )


def start(planned: Plan, name: str, done: int, total: int, **changes: Any) -> None:  # noqa: ANN401
    """What a step that has begun leaves: a log and how far it is."""
    folder = planned.project.root / "results" / "resume" / name
    folder.mkdir(parents=True)
    now = time.time()
    parts = progress.Parts(owners.this_process(), "epoch", now - 3 * done, now, 0, done, total)
    (folder / "progress.json").write_text(json.dumps(asdict(parts) | changes), encoding="utf-8")
    log(planned, name)


def log(planned: Plan, name: str) -> None:
    file = planned.project.root / "results" / "logs" / find(planned, name).folder / f"{name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("", encoding="utf-8")


def dead_process() -> str:
    """The name of a process of this machine that has ended."""
    code = "from avbalance import owners; print(owners.this_process(), end='')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout


def counts(planned: Plan) -> dict[str, tuple[int, int, int, int]]:
    """{folder: how many are done, running, failed, left}."""
    return {
        folder: (len(state.done), len(state.running), len(state.failed), len(state.left))
        for folder, state in survey(planned).items()
    }


@pytest.fixture
def half_way(planned: Plan) -> Plan:
    """Two of four runs are done, one is at epoch 1 of 4 and one has failed; one of four probes is done."""
    runs, probes = names(planned, "runs"), names(planned, "probes")
    for name in (*names(planned, "raw"), *names(planned, "prep")):
        finish(planned, name, 1000)
    finish(planned, runs[0], 10)
    finish(planned, runs[1], 20)
    start(planned, runs[2], done=1, total=4)
    log(planned, runs[3])
    finish(planned, probes[0], 4)
    return planned


def test_before_anything_has_begun_all_is_left(planned: Plan) -> None:
    assert counts(planned) == {
        "raw": (0, 0, 0, 1),
        "prep": (0, 0, 0, 1),
        "runs": (0, 0, 0, 4),
        "probes": (0, 0, 0, 4),
        "tables/miniature": (0, 0, 0, 1),
        "page": (0, 0, 0, 1),
        "audit/miniature": (0, 0, 0, 1),
    }


def test_half_way_every_artifact_is_in_its_place(half_way: Plan) -> None:
    runs, states = names(half_way, "runs"), survey(half_way)
    assert [artifact.name for artifact in states["runs"].done] == runs[:2]
    ((running, parts),) = states["runs"].running
    assert (running, parts and (parts.done, parts.total)) == (find(half_way, runs[2]), (1, 4))
    assert states["runs"].failed == [find(half_way, runs[3])]
    assert [artifact.name for artifact in states["probes"].left] == names(half_way, "probes")[1:]
    assert counts(half_way)["raw"] == counts(half_way)["prep"] == (1, 0, 0, 0)
    assert counts(half_way)["tables/miniature"] == (0, 0, 0, 1)


def test_a_run_without_its_weights_is_not_done_where_a_probe_needs_them(half_way: Plan) -> None:
    runs = names(half_way, "runs")
    probe = find(half_way, names(half_way, "probes")[1])  # is left to do
    assert probe.inputs["weights"] == f"results/weights/{runs[1]}"
    shutil.rmtree(half_way.project.root / "results" / "weights" / runs[1])
    assert counts(half_way)["runs"] == (1, 1, 1, 1)


def test_a_run_whose_weights_nothing_needs_is_done(half_way: Plan) -> None:
    runs = names(half_way, "runs")
    shutil.rmtree(half_way.project.root / "results" / "weights" / runs[0])  # its probe is there
    assert counts(half_way)["runs"] == (2, 1, 1, 0)


def test_what_is_absent_and_needed_by_nothing_is_not_done_but_not_needed(half_way: Plan) -> None:
    # As in a fresh clone: a table, page or audit that is there needs nothing else.
    for folder in ("tables/miniature", "page", "audit/miniature"):
        finish(half_way, *names(half_way, folder))
    assert all(state[1:] == (0, 0, 0) for state in counts(half_way).values())
    states = survey(half_way)
    assert {folder: len(state.not_needed) for folder, state in states.items()} == {
        "raw": 0, "prep": 0, "runs": 2, "probes": 3, "tables/miniature": 0, "page": 0,
        "audit/miniature": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"owner": dead_process}, (0, 0, 1, 3)),
        ({"owner": lambda: "elsewhere.1.1234abcd-1"}, (0, 1, 0, 3)),
        ({"owner": lambda: "elsewhere.1.1234abcd-1", "time": lambda: time.time() - SILENT_SECONDS - 1}, (0, 0, 1, 3)),
        ({"time": lambda: time.time() - SILENT_SECONDS - 1}, (0, 1, 0, 3)),
    ],
    ids=["dead here", "alive elsewhere", "silent elsewhere", "silent but alive here"],
)
def test_a_step_runs_while_its_process_lives(
    planned: Plan, changes: dict[str, Callable[[], Any]], expected: tuple[int, int, int, int]
) -> None:
    start(planned, names(planned, "runs")[0], 1, 4, **{name: make() for name, make in changes.items()})
    assert counts(planned)["runs"] == expected


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc here: a process counts as alive")
def test_a_killed_step_without_a_log_is_left_to_do(planned: Plan) -> None:
    name = names(planned, "runs")[0]
    start(planned, name, 1, 4, owner=dead_process())
    (planned.project.root / "results" / "logs" / "runs" / f"{name}.log").unlink()
    assert counts(planned)["runs"] == (0, 0, 0, 4)


def leave_older(planned: Plan, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Leave the stamp of an older table `mine` whose recipe differs by `change`; returns today's recipe."""
    artifact = find(planned, *names(planned, "tables/miniature"))
    older = copy.deepcopy(artifact.recipe)
    change(older)
    stamp = (planned.project.root / artifact.path).with_name("mine.000000000000.key")
    stamp.parent.mkdir(parents=True)
    stamp.write_text(json.dumps(older), encoding="utf-8")
    return artifact.recipe


def test_a_table_of_older_code_is_named_with_the_step_that_changed(planned: Plan) -> None:
    leave_older(planned, lambda older: older.update(code="0123456789ab"))
    assert stale(planned.project.root) == {"miniature": {"mine": ["the code of step table"]}}


def test_a_setting_of_an_older_run_is_named(planned: Plan) -> None:
    name = names(planned, "runs")[0]
    older_run = f"{find(planned, name).slug}.000000000000"
    leave_older(planned, lambda older: older.update(inputs={role_of(planned, name): f"results/runs/{older_run}"}))
    recipe = copy.deepcopy(find(planned, name).recipe)
    training = recipe["settings"]["training"]
    recipe["settings"]["training"] = {**training, "epochs": 99}
    folder = planned.project.root / "results" / "runs" / older_run
    folder.mkdir(parents=True)
    (folder / store.MANIFEST).write_text(json.dumps({"recipe": recipe, "files": {}}), encoding="utf-8")
    found = stale(planned.project.root)["miniature"]["mine"]
    assert f"setting training: { {**training, 'epochs': 99} } -> {training}" in found


def role_of(planned: Plan, name: str) -> str:
    """Under which role the table has a run as its input."""
    (table,) = (artifact for artifact in planned.artifacts.values() if artifact.name.startswith("mine."))
    return next(role for role, path in table.recipe["inputs"].items() if path.endswith(name))


def test_an_edit_of_the_tables_code_names_no_step_of_its_runs(planned: Plan) -> None:
    for folder in ("raw", "prep", "runs", "probes"):
        for name in names(planned, folder):
            finish(planned, name)
    leave_older(planned, lambda older: older.update(code="0123456789ab"))
    assert stale(planned.project.root) == {"miniature": {"mine": ["the code of step table"]}}


def test_a_table_of_other_rows_is_named_without_a_line_of_code(planned: Plan) -> None:
    leave_older(planned, lambda older: older["settings"]["rows"].pop("film"))
    assert stale(planned.project.root) == {"miniature": {"mine": ["its rows, seeds or settings"]}}


def test_a_table_of_todays_code_is_not_named(planned: Plan) -> None:
    today = plan.make(planned.project.root, {"scale": "miniature", "tables": "all"})
    (name,) = (name for name in names(today, "tables/miniature") if name.startswith("mine."))
    finish(today, name)
    assert stale(planned.project.root) == {}


def test_the_report_says_all_of_it(
    half_way: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = names(half_way, "runs")
    monkeypatch.chdir(half_way.project.root)
    monkeypatch.setattr(sys, "argv", ["status", "tables=mine", "seeds=[0,1]", "device=cpu"])
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    status.main()
    said = capsys.readouterr().out
    rows = {words[1]: words[3::2] for words in map(str.split, said.splitlines()) if len(words) == 13}
    assert rows["runs"] == ["2", "0", "1", "1", "0"]
    assert rows["probes"] == ["1", "0", "0", "0", "3"]
    assert f"running  runs/{runs[2]}: epoch 1 of at most 4, 3.0 s each" in said
    assert f"failed   runs/{runs[3]}: see results/logs/runs/{runs[3]}.log" in said
    assert "5 of 13 done, about 1 min left" in said  # 42.25 s
    assert "all tables and figures are up to date" in said


def test_a_failure_of_an_earlier_workflow_is_left_to_do(half_way: Plan) -> None:
    before = time.time() - 60
    file = half_way.project.root / find(half_way, names(half_way, "runs")[3]).log
    os.utime(file, (before, before))
    assert counts(half_way)["runs"] == (2, 1, 1, 0)
    pace.begin(half_way.project.root, cores=1)
    assert counts(half_way)["runs"] == (2, 1, 0, 1)


def test_a_live_report_is_no_wider_than_its_terminal(half_way: Plan) -> None:
    console = Console(width=60, file=io.StringIO(), soft_wrap=True)
    with console.capture() as shown:
        console.print(status.draw(half_way, survey(half_way), "ellipsis"))
    assert max(map(len, shown.get().splitlines())) == 60  # longer lines are cut


def test_watching_ends_when_nothing_is_left(
    half_way: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("tables/miniature", "page", "audit/miniature"):
        finish(half_way, *names(half_way, folder))
    monkeypatch.chdir(half_way.project.root)
    monkeypatch.setattr(sys, "argv", ["status", "--watch", "tables=mine", "seeds=[0,1]", "device=cpu"])
    status.main()
    assert "scale miniature" in capsys.readouterr().out


def test_watching_ends_with_its_workflow(half_way: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pace.begin(half_way.project.root, cores=1)
    workflow = half_way.project.root / pace.WORKFLOW
    ended = json.loads(workflow.read_text(encoding="utf-8")) | {"owner": dead_process()}
    pauses = []

    def end(seconds: float) -> None:
        pauses.append(seconds)
        workflow.write_text(json.dumps(ended), encoding="utf-8")

    monkeypatch.setattr(time, "sleep", end)
    status.watch(half_way, Console())
    assert pauses == [status.WATCH_SECONDS]  # drawn once while it ran, once after it had ended
    assert survey(half_way)["runs"].left + survey(half_way)["probes"].left != []


def test_a_watch_is_ended_by_ctrl_c(
    half_way: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(half_way.project.root)
    monkeypatch.setattr(sys, "argv", ["status", "--watch", "tables=mine", "seeds=[0,1]", "device=cpu"])
    monkeypatch.setattr(time, "sleep", interrupt)
    status.main()
    assert "running" in capsys.readouterr().out


def test_a_damaged_artifact_is_named_by_the_estimate(half_way: Plan) -> None:
    manifest = half_way.project.root / "results" / "runs" / names(half_way, "runs")[0] / store.MANIFEST
    manifest.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest.json is not a manifest"):
        time_left(half_way, survey(half_way))


def test_tables_that_a_scale_does_not_have_need_no_plan(planned: Plan) -> None:
    unplannable = planned.project.root / "config" / "tables" / "unplannable.yaml"
    text = unplannable.with_name("mine.yaml").read_text(encoding="utf-8")
    text = text.replace("avmnist", "kinetics400").replace("defaults: {", "defaults: {modalities: [audio, visual], ")
    unplannable.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="have to be recorded or brought first"):
        plan.make(planned.project.root, {"scale": "laptop", "tables": "unplannable"})
    stamp = planned.project.root / "results" / "tables" / "laptop" / "mine.000000000000.key"
    stamp.parent.mkdir(parents=True)
    made = plan.make(planned.project.root, {"scale": "laptop", "tables": "mine"})
    stamp.write_text(json.dumps(find(made, *names(made, "tables/laptop")).recipe), encoding="utf-8")
    assert stale(planned.project.root) == {"laptop": {"mine": ["its rows, seeds or settings"]}}
