"""Recipes of raw and prepared data, of trained weights from elsewhere, and of audits."""

import re
from pathlib import Path
from typing import Any

from avbalance import registry
from avbalance.configuration import signature
from avbalance.configuration.project import sources_of
from avbalance.configuration.schema import SourceFile
from avbalance.errors import UserError
from avbalance.planning import keys
from avbalance.planning.artifacts import Artifact, Plan


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
    return _files(plan, "datasets", dataset, spec.files)


def _files(plan: Plan, kind: str, name: str, files: list[SourceFile]) -> Artifact:
    """Raw files to download, with the entries of the lists of checksums that they name, beside the YAML.

    An absent list is noted in `plan.unrecorded`.
    """
    folder, lacking = plan.project.root / "config" / kind, []
    described = [file.model_dump(exclude_none=True, exclude={"index"}) for file in files]
    for file in described:
        for key in {"contents", "list"} & set(file):
            path = folder / file[key]
            if not path.exists():
                get = f"; {file['request']}, below {file.get('path')} in AVBALANCE_MIRROR" if "request" in file else ""
                lacking.append(
                    f"{path}: no such list of checksums; its files are published without one{get}; then make the list "
                    f"with 'avbalance record {name}'"
                )
            file[key] = {"list": file[key], "entries": read_checksums(path) if path.exists() else {}}
    raw = plan.add("raw", name, "download", {"files": described}, {}, [])
    if lacking:
        plan.unrecorded[raw.path] = lacking
    return raw


def read_checksums(path: Path) -> dict[str, str]:
    """Read {file: sha256} from a list in the format of sha256sum.

    Raises:
        UserError: A line has another form.
    """
    entries = {}
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), start=1):  # names may hold other line ends
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S.*?)\s*", line)
        if match is None and line.strip():
            raise UserError(f"{path}: line {number}: expected a sha256 and a path, as sha256sum writes them")
        if match is not None:
            entries[match[2]] = match[1]
    return entries


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
    settings |= {"task": spec.task, "classes": spec.classes, "prepare": {**spec.prepare.model_dump(), "views": views}}
    return plan.add("prep", dataset, "media", settings, inputs, places)


def model_of(plan: Plan, name: str) -> Artifact:
    """Files of a model's trained weights."""
    return _files(plan, "models", name, plan.project.models[name].files)


def audit_of(plan: Plan, dataset: str) -> Artifact:
    """Page that says how a dataset was prepared and what became of its clips."""
    project, spec = plan.project, plan.project.datasets[dataset]
    scale, data = project.settings.scale, prepared_of(plan, dataset)
    raw = plan.artifacts[data.inputs["raw"]].settings
    template = Path(__file__).parents[1] / "prepare" / "audit.html.j2"
    if "generator" in raw:
        source = {"generator": raw["generator"]}
    else:  # lists by name, without their thousands of entries
        files = [
            {key: value["list"] if isinstance(value, dict) else value for key, value in file.items()}
            for file in raw["files"]
        ]
        source = {"files": files}
    about = {"title": spec.title, "licence": spec.licence, "citation": spec.citation, "scale": scale, "source": source}
    settings = {"about": about, "template": keys.data_hash(template)}
    return plan.add(f"audit/{scale}", dataset, "audit", settings, {"data": data.path}, ["avbalance.prepare.audit:run"])
