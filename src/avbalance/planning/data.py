"""Recipes of raw and prepared data, of trained weights from elsewhere, and of audits."""

from collections.abc import Iterable
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

DATA = "data_"
"""Prefix of the roles in which steps read the arrays of modalities."""


def raw_of(plan: Plan, dataset: str) -> Artifact:
    """Raw files of a dataset, from the source that the scale names, or from the first."""
    project = plan.project
    scaled = project.scale.datasets.get(dataset)
    source = scaled.source if scaled else next(iter(sources_of(project.datasets, dataset)))
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

    An absent list is noted in `plan.missing`, and so are files that the user has to bring, unless DVC has them. Own
    copies of a dataset have lists of their own.
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
    if missing is not None and not (plan.is_there(raw) or plan.exists(f"{raw.path}.dvc")):
        plan.missing[raw.path] = missing
    return raw


def is_own(plan: Plan, dataset: str) -> bool:
    """True if a dataset's raw files are the user's own copy."""
    return raw_of(plan, dataset).settings.get("copy") == "own"


def data_of(plan: Plan, dataset: str, modalities: Iterable[str]) -> dict[str, str]:
    """{`data_<modality>`: folder of its arrays}: what a step reads of a dataset."""
    return {f"{DATA}{modality}": prepared_of(plan, dataset, modality).path for modality in modalities}


def prepared_of(plan: Plan, dataset: str, modality: str) -> Artifact:
    """Clips of a dataset as arrays: of one modality or, where its reader gives arrays, of all together."""
    prepared = plan.prepared.setdefault(dataset, {})
    if modality not in prepared:
        spec = plan.project.datasets[dataset]
        prepared[modality] = _arrays(plan, dataset) if spec.prepare is None else _media(plan, dataset, modality)
    return prepared[modality]


def _reading(plan: Plan, dataset: str) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Settings, inputs and code of a step that reads the raw files of a dataset."""
    spec = plan.project.datasets[dataset]
    reader = signature.resolve("data", spec.reader)
    settings: dict[str, Any] = {"dataset": dataset, "num_classes": spec.num_classes, "reader": reader}
    inputs = {"raw": raw_of(plan, dataset).path}
    return settings, inputs, [registry.place("data", name) for name in reader]


def _arrays(plan: Plan, dataset: str) -> Artifact:
    """Arrays that a dataset's reader gives."""
    settings, inputs, places = _reading(plan, dataset)
    spec = plan.project.datasets[dataset]
    settings |= {"task": spec.task, "classes": spec.classes}
    return plan.add("prep", dataset, "pack", settings, inputs, ["avbalance.prepare.pack:run", *places])


def _selection(plan: Plan, dataset: str) -> Artifact:
    """Clips that are used of a dataset of media, in all modalities."""
    spec = plan.project.datasets[dataset]
    assert spec.prepare is not None
    settings, inputs, places = _reading(plan, dataset)
    views = [registry.parse(view)[0] for view in spec.prepare.views.values()]
    media = sorted({signature.describe("view", view).attributes["medium"] for view in views})
    chosen = ("val_fraction", "seed", "drop_duplicates")
    settings |= {"task": spec.task, "classes": spec.classes, "media": media, "max_dropped": _max_dropped(plan, dataset)}
    settings |= {name: getattr(spec.prepare, name) for name in chosen}
    return plan.add(
        "selections", dataset, "select_clips", settings, inputs, ["avbalance.prepare.select_clips:run", *places]
    )


def _media(plan: Plan, dataset: str, modality: str) -> Artifact:
    """Arrays that the view of a modality makes of the selected clips."""
    spec = plan.project.datasets[dataset]
    assert spec.prepare is not None
    view = signature.resolve("view", spec.prepare.views[modality])
    selection = _selection(plan, dataset)
    inputs = {"raw": selection.inputs["raw"], "selection": selection.path}
    places = ["avbalance.prepare.media:run"]
    for kind, method in registry.methods_of([("view", view)]):
        places.append(registry.place(kind, method))
        model = signature.describe(kind, method).attributes.get("model")
        if model:
            inputs[f"model_{model}"] = model_of(plan, model).path
    shared = {name: getattr(spec.prepare, name) for name in ("clip_seconds", "windows", "max_seconds")}
    shared["max_dropped"] = _max_dropped(plan, dataset)
    settings = {"dataset": dataset, "task": spec.task, "num_classes": spec.num_classes, "classes": spec.classes}
    settings |= {"modality": modality, "view": view, **shared}
    return plan.add("prep", f"{dataset}_{modality}", "media", settings, inputs, places)


def _max_dropped(plan: Plan, dataset: str) -> float:
    """Share of the clips that may be dropped: of an own copy all, because most of a small part is absent."""
    preparation = plan.project.datasets[dataset].prepare
    assert preparation is not None
    return 1.0 if is_own(plan, dataset) else preparation.max_dropped


def model_of(plan: Plan, name: str) -> Artifact:
    """Files of a model's trained weights."""
    model = plan.project.models[name]
    return _files(plan, "models", name, model.files, model, model.gigabytes)


def _faces_of(plan: Plan, dataset: str, modalities: Iterable[str]) -> dict[str, str]:
    """{modality: the detector of its faces, with the title of its network if it has one}."""
    preparation = plan.project.datasets[dataset].prepare
    views = preparation.views if preparation else {}
    faces = {}
    for modality in (modality for modality in modalities if modality in views):
        for kind, name in registry.methods_of([("view", signature.resolve("view", views[modality]))]):
            if kind == "detector":
                model = signature.describe(kind, name).attributes.get("model")
                faces[modality] = f"{name} ({plan.project.models[model].title})" if model else name
    return faces


def audit_of(plan: Plan, dataset: str, modalities: Iterable[str] | None = None) -> Artifact:
    """Page that says how a dataset was prepared and what became of its clips, in some modalities or in all."""
    project, spec = plan.project, plan.project.datasets[dataset]
    scale, shown = project.shelf, spec.modalities if modalities is None else list(modalities)
    inputs = data_of(plan, dataset, shown)
    raw = raw_of(plan, dataset).settings
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
    about["faces"] = _faces_of(plan, dataset, shown)
    parameters = _parameters(plan, dataset, shown)
    settings = {"about": about, "parameters": parameters, "template": keys.data_hash(template)}
    return plan.add(f"audit/{scale}", dataset, "audit", settings, inputs, ["avbalance.prepare.audit:run"])


def _parameters(plan: Plan, dataset: str, modalities: Iterable[str]) -> dict[str, Any]:
    """Settings of a dataset's preparation, without its many names of classes."""
    prepared = {modality: prepared_of(plan, dataset, modality) for modality in modalities}
    merged: dict[str, Any] = {}
    for artifact in prepared.values():
        selection = artifact.inputs.get("selection")
        merged |= {**(plan.artifacts[selection].settings if selection else {}), **artifact.settings}
    views = {modality: artifact.settings["view"] for modality, artifact in prepared.items() if "view" in merged}
    own = {name: value for name, value in merged.items() if name not in ("classes", "modality", "view")}
    return {**own, "views": views} if views else own
