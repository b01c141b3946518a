import shutil
from pathlib import Path

import pytest

from avbalance.configuration.project import read_project
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.data import audit_of, prepared_of

ROOT = Path(__file__).parents[2]


def one(planned: Plan, kind: str) -> Artifact:
    return next(artifact for artifact in planned.artifacts.values() if artifact.kind == kind)


def create(planned: Plan, artifact: Artifact) -> None:
    for product in artifact.products.values():
        file = planned.project.root / product
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}", encoding="utf-8")


def test_the_same_recipe_entered_twice_is_one_artifact(planned: Plan) -> None:
    first, second = (planned.add("raw", "mine", "download", {"files": []}, {}, []) for _ in range(2))
    assert first is second is planned.artifacts[first.path]


@pytest.mark.parametrize("change", [{"settings": {"seed": 1}}, {"inputs": {"data": "x"}}, {"code": "0"}, {"step": "s"}])
def test_settings_inputs_code_and_step_make_the_key_and_the_slug_does_not(change: dict[str, object]) -> None:
    fields = {"settings": {}, "inputs": {}, "code": "", "step": "train"}
    plain = Artifact("runs", "", "a", **fields)  # type: ignore[arg-type]
    assert Artifact("runs", "", "b", **fields).key == plain.key  # type: ignore[arg-type]
    assert Artifact("runs", "", "a", **{**fields, **change}).key != plain.key  # type: ignore[arg-type]


def test_a_run_has_its_weights_in_a_folder_of_their_own(planned: Plan) -> None:
    run = one(planned, "runs")
    assert run.path == f"results/runs/{run.slug}.{run.key}"
    assert list(run.products) == [run.path, f"results/weights/{run.slug}.{run.key}"]
    assert run.product == f"{run.path}/manifest.json"
    assert run.recipe["name"] == f"{run.slug}.{run.key}"


def test_a_probe_waits_for_the_weights_of_its_run_and_not_for_the_run(planned: Plan) -> None:
    probe = one(planned, "probes")
    run, data, _ = planned.inputs_of(probe)  # sound and pictures of AV-MNIST are one artifact
    create(planned, run)
    assert planned.needs(probe.path) == [f"{data.path}/manifest.json"]
    (planned.project.root / run.weights / "manifest.json").unlink()
    create(planned, data)
    assert planned.needs(probe.path) == [f"{run.weights}/manifest.json"]
    create(planned, run)
    assert planned.needs(probe.path) == []


def test_a_job_does_not_wait_for_what_its_inputs_wait_for(planned: Plan) -> None:
    probe = one(planned, "probes")
    run, data, _ = planned.inputs_of(probe)
    assert planned.needs(run.path) == [f"{data.path}/manifest.json"]
    assert planned.needs(probe.path) == [f"{run.weights}/manifest.json"]
    table = one(planned, "tables")
    assert run in planned.inputs_of(table)
    assert run.product not in planned.needs(table.path)
    assert {probe.path, run.path, data.path} <= planned.wanted()
    create(planned, probe)  # now the table alone waits for the run
    assert run.product in planned.needs(table.path)


def test_a_table_has_a_stamp_with_its_key(planned: Plan) -> None:
    table = one(planned, "tables")
    assert table.product == f"results/tables/miniature/mine.{table.key}.key"
    assert table.log == f"results/logs/tables/miniature/mine.{table.key}.log"
    assert planned.behind([table]) >= {one(planned, kind) for kind in ("raw", "prep", "runs", "probes")}


def test_the_faces_of_voxceleb_need_no_recorded_weights_and_no_gpu() -> None:
    plan = Plan(read_project(ROOT, {"scale": "paper"}))
    data = prepared_of(plan, "voxceleb", "visual")
    assert data.inputs["model_retinaface_mobilenet"] not in plan.missing
    assert not plan.uses_gpu(data)


def test_a_preparation_asks_for_a_gpu_if_its_detector_uses_one(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config/datasets/voxceleb.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("retinaface_mobilenet,", "retinaface_resnet50,"), encoding="utf-8")
    plan = Plan(read_project(tmp_path, {"scale": "paper"}))
    assert plan.uses_gpu(prepared_of(plan, "voxceleb", "visual"))
    assert not plan.uses_gpu(prepared_of(plan, "voxceleb", "audio"))
    assert not plan.uses_gpu(prepared_of(plan, "cremad", "visual"))  # frames
    assert not plan.uses_gpu(prepared_of(plan, "avmnist", "visual"))  # arrays of its reader


@pytest.mark.parametrize(
    ("scale", "dataset", "faces"),
    [
        ("paper", "voxceleb", {"visual": "retinaface_mobilenet (RetinaFace, MobileNet-0.25)"}),
        ("miniature", "voxceleb", {"visual": "given"}),
        ("paper", "mnist", {}),
    ],
)
def test_the_audit_says_which_detector_finds_the_faces(scale: str, dataset: str, faces: dict[str, str]) -> None:
    plan = Plan(read_project(ROOT, {"scale": scale}))
    assert audit_of(plan, dataset).settings["about"]["faces"] == faces
