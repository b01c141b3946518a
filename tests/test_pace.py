import json
import time
from base64 import urlsafe_b64encode
from dataclasses import asdict
from pathlib import Path

import pytest

from avbalance import owners, pace, plan, progress, store
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.status import survey, time_left


def paths(planned: Plan, folder: str) -> list[str]:
    return [path for path, artifact in planned.artifacts.items() if artifact.folder == folder]


def finish(planned: Plan, path: str, seconds: float) -> None:
    """What a step leaves that took `seconds`, wherever it ran."""
    artifact = planned.artifacts[path]
    for product in artifact.products.values():
        file = planned.project.root / product
        file.parent.mkdir(parents=True)
        file.write_text(
            json.dumps({"recipe": artifact.recipe, "files": {}, "provenance": {"seconds": seconds}}), encoding="utf-8"
        )


def record(planned: Plan, path: str, start: float, end: float) -> None:
    """What Snakemake notes of a step that it ran here."""
    folder = planned.project.root / ".snakemake" / "metadata"
    folder.mkdir(parents=True, exist_ok=True)
    log = f"{path.replace('results', 'results/logs', 1)}.log"
    times = {"log": [log], "starttime": start, "endtime": end, "incomplete": False}
    (folder / urlsafe_b64encode(planned.artifacts[path].product.encode()).decode()).write_text(
        json.dumps(times), encoding="utf-8"
    )


def seconds_of(planned: Plan) -> dict[str, dict[Artifact, float]]:
    return pace.finished(planned, pace.steps_here(planned))


def test_seconds_of_the_running_workflow_count_before_earlier_and_foreign_ones(planned: Plan) -> None:
    first, second, third, _ = paths(planned, "runs")
    prep, (probe, *_) = *paths(planned, "prep"), paths(planned, "probes")
    for path in (first, second, third, prep, probe):
        finish(planned, path, 1000)
    assert seconds_of(planned)["runs"] == {planned.artifacts[path]: 1000 for path in (first, second, third)}
    now = time.time()
    record(planned, prep, now - 500, now - 460)
    record(planned, first, now - 400, now - 380)
    record(planned, second, now + 10, now + 17)
    assert seconds_of(planned)["runs"] == pytest.approx(
        {planned.artifacts[first]: 20, planned.artifacts[second]: 7}, abs=1e-3
    )
    pace.begin(planned.project.root, cores=1)  # since then one run has finished
    seconds = seconds_of(planned)
    assert seconds["runs"] == pytest.approx({planned.artifacts[second]: 7}, abs=1e-3)
    assert list(seconds["prep"].values()) == pytest.approx([40], abs=1e-3)
    assert list(seconds["probes"].values()) == [1000]


def run(slug: str) -> Artifact:
    return Artifact("runs", "", slug, "train", {}, {}, "")


def test_a_step_is_expected_to_take_what_those_of_the_most_similar_names_took() -> None:
    seconds = {run("avmnist-audio-s0"): 2, run("avmnist-film-linear-s0"): 10, run("avmnist-film-linear-s1"): 14}
    # film, s2: shares 3 of 5 words with both of film and 1 of 6 with audio
    assert pace.expected_seconds(run("avmnist-film-linear-s2"), seconds) == 12
    assert pace.expected_seconds(run("avmnist-audio-s1"), seconds) == 2
    assert pace.expected_seconds(run("avmnist-film-linear-s1"), seconds) == 14


@pytest.mark.parametrize(
    ("cores", "threads", "gpus", "expected"),
    [(1, 1, 0, 80 + 25 + 2), (2, 1, 0, 40 + 12.5 + 1), (8, 3, 0, 40 + 12.5 + 0.25), (8, 1, 4, 20 + 6.25 + 0.25)],
)
def test_the_time_left_is_shared_by_as_many_steps_as_run_at_once(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, gpus: int, expected: float
) -> None:
    runs, probes, (table,) = (paths(planned, folder) for folder in ("runs", "probes", "tables/miniature"))
    finish(planned, runs[0], 20)
    finish(planned, probes[0], 10)
    monkeypatch.setattr(plan, "num_gpus", lambda device: gpus)
    planned.project.scale.threads = threads
    pace.begin(planned.project.root, cores)
    # Four runs of 20 s, probes of 10 s of which a half and two whole are left, a table like the cheapest step.
    waiting = dict.fromkeys((planned.artifacts[path] for path in runs), 1.0)
    waiting |= {planned.artifacts[path]: share for path, share in zip(probes, (0.5, 1.0, 1.0), strict=False)}
    waiting[planned.artifacts[table]] = 0.2
    assert pace.seconds_left(planned, waiting) == (pytest.approx(expected), [])


@pytest.mark.parametrize(
    ("seconds", "pause", "expected"),
    [([10] * 10, 0, 1), ([10] * 10, 5, 1.5), ([10] * 10 + [20] * 10, 0, (1.9 / 1.4) ** 0.5)],
)
def test_a_workflow_that_has_become_slower_will_stay_so(
    planned: Plan, seconds: list[float], pause: float, expected: float
) -> None:
    # With a pause of 5 s before each, steps of 10 s take 1.5 times as long. Ten of 20 s after ten of 10 s: the others
    # of each are 10 of 10 s and 9 of 20 s, 280 / 19 s in the mean, so it took 380 / 280 of them;
    # half way to that is its root.
    pace.begin(planned.project.root, cores=1)
    workflow = pace.running_workflow(planned.project.root)
    assert workflow is not None
    steps, now = [], workflow.started
    for place, each in enumerate(seconds):
        steps.append(pace.Step(run(f"avmnist-s{place}"), now + pause, now + pause + each))
        now += pause + each
    known = {"runs": {step.artifact: step.end - step.start for step in steps}}
    assert pace.slowdown(planned, steps, known) == pytest.approx(expected)
    assert pace.slowdown(planned, steps[:5], known) == 1  # too few to tell


def test_the_last_step_takes_as_long_as_on_one_core(planned: Plan) -> None:
    finish(planned, paths(planned, "runs")[0], 20)
    pace.begin(planned.project.root, cores=16)
    assert pace.seconds_left(planned, {planned.artifacts[paths(planned, "runs")[1]]: 0.75}) == (15, [])


def test_what_has_never_finished_is_named_and_foretold_by_the_parts_that_are_done(planned: Plan) -> None:
    states = survey(planned)
    kinds = "raw, prep, runs, probes, tables/miniature, audit/miniature, page"
    assert time_left(planned, states) == f"time left: unknown, not counting {kinds}, of which none has finished yet"
    name = planned.artifacts[paths(planned, "runs")[0]].name
    folder = planned.project.root / "results" / "resume" / name
    folder.mkdir(parents=True)
    parts = progress.Parts(owners.this_process(), "epoch", 100.0, 130.0, first=2, done=5, total=10)
    (folder / "progress.json").write_text(json.dumps(asdict(parts)), encoding="utf-8")
    # Three parts in 30 s: ten take 100 s. Half of this run is left, and three others: 350 s on one core.
    pace.begin(planned.project.root, cores=1)
    assert time_left(planned, survey(planned)).startswith("about 6 min left, not counting raw, prep, probes, tables")


def test_a_step_that_snakemake_runs_is_running_though_it_has_written_nothing_but_its_log(planned: Plan) -> None:
    (table,) = paths(planned, "tables/miniature")
    root = planned.project.root
    log = root / f"{table.replace('results', 'results/logs', 1)}.log"
    log.parent.mkdir(parents=True)
    log.write_text("", encoding="utf-8")
    marker = urlsafe_b64encode(f"{table}.key".encode()).decode()
    folder = root / ".snakemake" / "incomplete" / f"@{marker[:10]}"  # as Snakemake divides a long name
    folder.mkdir(parents=True)
    (folder / marker[10:]).write_text("{}", encoding="utf-8")
    assert len(survey(planned)["tables/miniature"].failed) == 1  # no workflow runs
    pace.begin(root, cores=1)
    assert pace.running_jobs(root) == {f"{table}.key"}
    assert survey(planned)["tables/miniature"].running == [(planned.artifacts[table], None)]


def test_a_workflow_that_has_ended_runs_no_more(tmp_path: Path) -> None:
    assert pace.running_workflow(tmp_path) is None
    pace.begin(tmp_path, cores=3)
    workflow = pace.running_workflow(tmp_path)
    assert workflow is not None
    assert (workflow.owner, workflow.cores) == (owners.this_process(), 3)
    ended = f"{owners.this_process()}0"  # another start: the number of the process was given anew
    file = tmp_path / pace.WORKFLOW
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"owner": ended}), encoding="utf-8")
    assert pace.running_workflow(tmp_path) is None


def test_a_damaged_artifact_is_named(planned: Plan) -> None:
    finish(planned, paths(planned, "runs")[0], 20)
    (planned.project.root / paths(planned, "runs")[0] / store.MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(Exception, match=r"manifest.json is not a manifest"):
        seconds_of(planned)
