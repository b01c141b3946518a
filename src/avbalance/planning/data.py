"""Recipes of raw and prepared data, of trained weights from elsewhere, and of audits."""

from pathlib import Path
from typing import Any

from avbalance import registry, store
from avbalance.configuration import signature
from avbalance.configuration.project import sources_of
from avbalance.configuration.schema import Dataset, SourceFile, Weights
from avbalance.planning import keys
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.missing import missing_of
from avbalance.planning.own_copy import OwnCopy, suffix_of


def raw_of(plan: Plan, dataset: str, source: str) -> Artifact:
    """Raw files of a dataset."""
    project = plan.project
    if isinstance(owner := project.datasets[dataset].sources, str):
        dataset = owner  # variants of a dataset share its raw files
    spec = sources_of(project.datasets, dataset)[source]
    if spec.generator is not None:
        generator = signature.resolve("data", spec.generator)
        places = [registry.place("data", name) for name in generator]
        return plan.add("raw", dataset, "download", {"generator": generator}, {}, places)
    return _files(plan, "datasets", dataset, spec.files, project.datasets[dataset], spec.gigabytes)


def _files(
    plan: Plan, kind: str, name: str, files: list[SourceFile], about: Dataset | Weights, gigabytes: float | None
) -> Artifact:
    """Raw files to download; a list of checksums, beside the YAML, is named by its path and the sha256 of its bytes.

    An absent list is noted in `plan.missing`, and so are files that the user has to bring. Own copies of a dataset have
    lists of their own.
    """
    project, folder = plan.project, Path("config", kind)
    if project.is_own and isinstance(about, Dataset):
        (reader,) = signature.resolve("data", about.reader)
        media = registry.find("data", reader).media
        copy = OwnCopy(project.root, name, files, Path(project.mirror), suffix_of(media))
        if entries := copy.record():
            return plan.add("raw", name, "download", {"files": entries, "copy": "own"}, {}, [])
    described = [file.model_dump(exclude_none=True, exclude={"index"}) for file in files]
    for file in described:
        for key in {"contents", "list"} & set(file):
            path = project.root / folder / file[key]
            digest = store.sha256(path) if path.exists() else ""
            file[key] = {"path": f"{folder / file[key]}", "sha256": digest}
    raw = plan.add("raw", name, "download", {"files": described}, {}, [])
    missing = missing_of(name, about, files, gigabytes, project.root / folder, project.mirror)
    if missing is not None and not plan.is_there(raw):
        plan.missing[raw.path] = missing
    return raw


def is_own(plan: Plan, dataset: str) -> bool:
    """True if a dataset's raw files are the user's own copy."""
    return plan.artifacts[prepared_of(plan, dataset).inputs["raw"]].settings.get("copy") == "own"


def prepared_of(plan: Plan, dataset: str) -> Artifact:
    """Clips of a dataset as arrays."""
    if dataset not in plan.prepared:
        project = plan.project
        spec = project.datasets[dataset]
        scaled = project.scale.datasets.get(dataset)
        source = scaled.source if scaled else next(iter(sources_of(project.datasets, dataset)))
        reader = signature.resolve("data", spec.reader)
        settings: dict[str, Any] = {"dataset": dataset, "num_classes": spec.num_classes, "reader": reader}
        inputs = {"raw": raw_of(plan, dataset, source).path}
        places = [registry.place("data", name) for name in reader]
        if spec.prepare is None:
            settings |= {"task": spec.task, "classes": spec.classes}
            plan.prepared[dataset] = plan.add(
                "prep", dataset, "pack", settings, inputs, ["avbalance.prepare.pack:run", *places]
            )
        else:
            plan.prepared[dataset] = _media(plan, dataset, settings, inputs, places)
    return plan.prepared[dataset]


def _media(plan: Plan, dataset: str, settings: dict[str, Any], inputs: dict[str, str], places: list[str]) -> Artifact:
    """Arrays that a dataset's views make of its clips."""
    spec = plan.project.datasets[dataset]
    assert spec.prepare is not None
    views = {modality: signature.resolve("view", view) for modality, view in spec.prepare.views.items()}
    places = ["avbalance.prepare.media:run", *places]
    for kind, method in registry.methods_of(("view", view) for view in views.values()):
        places.append(registry.place(kind, method))
        model = signature.describe(kind, method).attributes.get("model")
        if model:
            inputs[f"model_{model}"] = model_of(plan, model).path
    prepare = {**spec.prepare.model_dump(), "views": views}
    if plan.artifacts[inputs["raw"]].settings.get("copy") == "own":
        prepare["max_dropped"] = 1.0  # most of a small part is absent
    settings |= {"task": spec.task, "classes": spec.classes, "prepare": prepare}
    return plan.add("prep", dataset, "media", settings, inputs, places)


def model_of(plan: Plan, name: str) -> Artifact:
    """Files of a model's trained weights."""
    model = plan.project.models[name]
    return _files(plan, "models", name, model.files, model, model.gigabytes)


def _faces_of(plan: Plan, dataset: str) -> dict[str, str]:
    """{modality: the detector of its faces, with the title of its network if it has one}."""
    preparation = plan.project.datasets[dataset].prepare
    faces = {}
    for modality, view in (preparation.views if preparation else {}).items():
        for kind, name in registry.methods_of([("view", signature.resolve("view", view))]):
            if kind == "detector":
                model = signature.describe(kind, name).attributes.get("model")
                faces[modality] = f"{name} ({plan.project.models[model].title})" if model else name
    return faces


def audit_of(plan: Plan, dataset: str) -> Artifact:
    """Page that says how a dataset was prepared and what became of its clips."""
    project, spec = plan.project, plan.project.datasets[dataset]
    scale, data = project.shelf, prepared_of(plan, dataset)
    raw = plan.artifacts[data.inputs["raw"]].settings
    template = Path(__file__).parents[1] / "prepare" / "audit.html.j2"
    if "generator" in raw:
        source = {"generator": raw["generator"]}
    else:
        files = [
            {key: value["path"] if isinstance(value, dict) else value for key, value in file.items()}
            for file in raw["files"]
        ]
        source = {"files": files}
    about = {"title": spec.title, "licence": spec.licence, "citation": spec.citation, "scale": scale, "source": source}
    about["faces"] = _faces_of(plan, dataset)
    settings = {"about": about, "template": keys.data_hash(template)}
    return plan.add(f"audit/{scale}", dataset, "audit", settings, {"data": data.path}, ["avbalance.prepare.audit:run"])
