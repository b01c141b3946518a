"""From the configuration to the recipes of all artifacts; needs no data on disk and no torch.

raw -> prep -> runs + weights -> blends, probes -> tables, figures -> page
"""

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from avbalance import cli, config, keys, registry, rows, signature, store
from avbalance.artifacts import Plan, weights
from avbalance.cli import UserError
from avbalance.config import Project
from avbalance.references import columns_of
from avbalance.registry import Spec
from avbalance.schema import Row, SourceFile, Table


def make(root: Path, overrides: Mapping[str, Any]) -> Plan:
    """The plan of the configuration below `root`, with `overrides` of `config.yaml`'s values.

    Raises:
        UserError: The configuration is wrong, or an artifact is damaged.
    """
    project = config.load(root, overrides)
    plan = Plan(project)
    if project.settings.datasets is not None:
        chosen = project.settings.datasets
        audits = [_audit(plan, name) for name in ([chosen] if isinstance(chosen, str) else chosen)]
        plan.targets = [plan.artifacts[path].products[0] for path in audits]
        return plan
    asked = project.settings.tables if project.settings.tables is not None else project.scale.tables
    whole = asked == project.scale.tables or asked == "all"
    names = list(project.tables) if asked == "all" else [asked] if isinstance(asked, str) else list(asked)
    paths = [_table(plan, name) for name in names]
    if whole:
        paths.append(_page(plan, paths))
        paths += [_audit(plan, name) for name in sorted(plan.prepared)]
    plan.targets = [plan.artifacts[path].products[0] for path in paths]
    return plan


def seeds(project: Project) -> list[int]:
    """The seeds in force."""
    chosen = project.settings.seeds
    if chosen is None:
        return project.scale.seeds
    return [chosen] if isinstance(chosen, int) else chosen


def _raw(plan: Plan, dataset: str, source: str) -> str:
    project = plan.project
    if isinstance(owner := project.datasets[dataset].sources, str):
        dataset = owner  # variants of a data set share its raw files
    spec = config.sources(project.datasets, dataset)[source]
    if spec.generator is not None:
        generator = signature.resolve("data", spec.generator)
        modules = [registry.locate("data", name)[0] for name in generator]
        return plan.add("raw", dataset, "prepare.download", {"generator": generator}, {}, modules)
    files = _files(project.root / "config" / "datasets", dataset, spec.files)
    return plan.add("raw", dataset, "prepare.download", {"files": files}, {}, [])


def _files(folder: Path, name: str, files: list[SourceFile]) -> list[dict[str, Any]]:
    """Files to download, with the entries of the lists of checksums that they name; the lists lie in `folder`."""
    described = [file.model_dump(exclude_none=True, exclude={"index"}) for file in files]
    for file in described:
        for key in {"contents", "list"} & set(file):
            path = folder / file[key]
            if not path.exists():
                get = f"; {file['request']}, below {file.get('path')} in AVBALANCE_MIRROR" if "request" in file else ""
                raise UserError(
                    f"{path}: no such list of checksums, for its files are published without{get}; then make it with "
                    f"'python -m avbalance.prepare.record {name}'"
                )
            file[key] = {"list": file[key], "entries": read_checksums(path)}
    return described


def read_checksums(path: Path) -> dict[str, str]:
    """{file: sha256} of a list in the format of sha256sum.

    Raises:
        UserError: A line has another form; names it.
    """
    entries = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S.*?)\s*", line)
        if match is None and line.strip():
            raise UserError(f"{path}: line {number}: is no sha256 and path, as sha256sum writes them")
        if match is not None:
            entries[match[2]] = match[1]
    return entries


def _prep(plan: Plan, dataset: str) -> str:
    if dataset not in plan.prepared:
        project = plan.project
        spec = project.datasets[dataset]
        scaled = project.scale.datasets.get(dataset)
        source = scaled.source if scaled else next(iter(config.sources(project.datasets, dataset)))
        reader = signature.resolve("data", spec.reader)
        settings: dict[str, Any] = {"dataset": dataset, "num_classes": spec.num_classes, "reader": reader}
        inputs = {"raw": _raw(plan, dataset, source)}
        modules = [registry.locate("data", name)[0] for name in reader]
        if spec.prepare is None:
            path = plan.add("prep", dataset, "prepare.pack", settings, inputs, ["avbalance.prepare.pack", *modules])
        else:
            path = _media(plan, dataset, settings, inputs, modules)
        plan.prepared[dataset] = path
    return plan.prepared[dataset]


def _media(plan: Plan, dataset: str, settings: dict[str, Any], inputs: dict[str, str], modules: list[str]) -> str:
    """The arrays that a dataset's views make of its clips."""
    spec = plan.project.datasets[dataset]
    assert spec.prepare is not None
    views = {modality: signature.resolve("view", view) for modality, view in spec.prepare.views.items()}
    modules = ["avbalance.prepare.media", *modules]
    for kind, method, _ in _methods("view", views.values()):
        modules.append(registry.locate(kind, method)[0])
        model = signature.describe(kind, method).attributes.get("model")
        if model:
            inputs[f"model_{model}"] = _model(plan, model)
    settings |= {"task": spec.task, "classes": spec.classes, "prepare": {**spec.prepare.model_dump(), "views": views}}
    return plan.add("prep", dataset, "prepare.media", settings, inputs, modules)


def _model(plan: Plan, name: str) -> str:
    """The files of a model's trained weights."""
    files = _files(plan.project.root / "config" / "models", name, plan.project.models[name].files)
    return plan.add("raw", name, "prepare.download", {"files": files}, {}, [])


def _methods(kind: str, resolved: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(kind, name, options) of resolved specifications and of those among their options."""
    for spec in resolved:
        for name, options in spec.items():
            yield kind, name, options
            for option, value in options.items():
                if option in registry.FOLDERS:
                    yield from _methods(option, [value])


def _run(plan: Plan, row: Row, seed: int) -> str:
    project = plan.project
    methods = {kind: signature.resolve(kind, getattr(row, kind)) for kind in ("fusion", "head", "loss", "balancer")}
    encoders = {modality: signature.resolve("encoder", spec) for modality, spec in rows.encoders(row).items()}
    settings = {
        "dataset": row.dataset,
        "encoder": encoders,
        **methods,
        "training": rows.training(row, project.scale),
        "seed": seed,
    }
    inputs = {"data": _prep(plan, row.dataset)}
    for modality in encoders if row.pretrained is True else row.pretrained or {}:
        inputs[f"pretrained_{modality}"] = _pretrained(plan, row, modality, seed)
    if signature.describe("balancer", next(iter(methods["balancer"]))).attributes.get("uses_blend"):
        inputs["blend"] = _blend(plan, row, seed)
    chosen = [("encoder", list(encoders.values())), *((kind, [method]) for kind, method in methods.items())]
    modules = ["avbalance.train"] + [
        registry.locate(each, name)[0] for kind, specs in chosen for each, name, _ in _methods(kind, specs)
    ]
    return plan.add("runs", _slug(row, methods, encoders, seed), "train", settings, inputs, modules)


def _slug(row: Row, methods: Mapping[str, Mapping[str, Any]], encoders: Iterable[str], seed: int) -> str:
    """A short readable name: the data set, then what distinguishes the row, then the seed."""
    names = [next(iter(methods[kind])) for kind in ("fusion", "head", "loss", "balancer")]
    parts = list(encoders) if len(list(encoders)) == 1 else [name for name in names if name != "joint"]
    parts = [row.dataset, *parts, *["pretrained"] * bool(row.pretrained), f"s{seed}"]
    return re.sub(r"[^a-z0-9_-]+", "_", "-".join(part.split(":")[-1].lower() for part in parts))


def alone(row: Row, modality: str, head: Spec = "linear") -> Row:
    """The uni-modal row of one of a row's modalities: same data, encoder, start and budget."""
    pretrained = row.pretrained if isinstance(row.pretrained, dict) else {}
    return Row(
        dataset=row.dataset,
        modalities=[modality],
        encoder={modality: rows.encoders(row)[modality]},
        head=head,
        pretrained={modality: pretrained[modality]} if modality in pretrained else False,
        training=row.training,
    )


def _pretrained(plan: Plan, row: Row, modality: str, seed: int) -> str:
    """Trained weights that an encoder starts from: of a uni-modal run, on the row's own or other data, or a model's."""
    start = alone(row.model_copy(update={"pretrained": False}), modality)
    start.training = {
        key: value for key, value in row.training.items() if key != "moments" and (key, value) != ("epochs", 0)
    }
    if isinstance(row.pretrained, dict):
        if row.pretrained[modality] not in plan.project.datasets:
            return _model(plan, row.pretrained[modality])
        start.dataset = row.pretrained[modality]
    return weights(_run(plan, start, seed))


def _blend(plan: Plan, row: Row, seed: int) -> str:
    """Blend weights from the joint run of a row and the uni-modal ones, whose heads are those of its loss."""
    ((_, loss),) = signature.resolve("loss", row.loss).items()
    joint = row.model_copy(update={"loss": "joint", "balancer": "joint"})
    heads = {modality: alone(row, modality, loss.get("head", "linear")) for modality in rows.encoders(row)}
    runs = {f"run_{name}": _run(plan, each, seed) for name, each in {"joint": joint, **heads}.items()}
    inputs = {"data": _prep(plan, row.dataset), **runs}
    for name, run in runs.items():  # the start of a run is that of its encoders
        started = plan.artifacts[run].recipe["inputs"].items()
        inputs |= {f"{name}_{role}": path for role, path in started if role.startswith("pretrained_")}
    recipe = plan.artifacts[runs["run_joint"]].recipe
    return plan.add("blends", recipe["name"].rsplit("-", 1)[0], "blend", {}, inputs, ["avbalance.blend"])


def _probe(plan: Plan, run: str) -> str:
    recipe = plan.artifacts[run].recipe
    inputs = {"weights": weights(run), "data": recipe["inputs"]["data"]}
    modules = ["avbalance.probe", registry.locate("feature_reduction", "mean")[0]]
    return plan.add("probes", recipe["name"].rsplit("-", 1)[0], "probe", {}, inputs, modules)


def _layer_probes(plan: Plan, table: Mapping[str, Row], seed: int) -> dict[str, str]:
    """{row: its probes of layers}; rows of a table that differ in layers and moment alone share one artifact."""
    shared: dict[tuple[str, str, str, str], list[str]] = {}
    for name, row in table.items():
        if row.probe is not None:
            run, data = _run(plan, row, seed), _prep(plan, row.probe.dataset or row.dataset)
            reduction = signature.resolve("feature_reduction", row.probe.reduction)
            shared.setdefault((run, data, json.dumps(reduction), row.probe.modality or ""), []).append(name)
    paths: dict[str, str] = {}
    for (run, data, resolved, modality), names in shared.items():
        probes = [probe for name in names if (probe := table[name].probe) is not None]
        moments = {probe.moment for probe in probes}
        settings = {
            "modality": modality,
            "layers": sorted({layer for probe in probes for layer in probe.layers}),
            "moments": [*sorted(step for step in moments if step is not None), *[None] * (None in moments)],
            "reduction": json.loads(resolved),
        }
        trained = plan.artifacts[run].recipe
        inputs = {"weights": weights(run), "data": data}
        if data != trained["inputs"]["data"]:
            inputs["trained_on"] = trained["inputs"]["data"]
        reductions = _methods("feature_reduction", [json.loads(resolved)])
        modules = ["avbalance.probe", *(registry.locate(kind, method)[0] for kind, method, _ in reductions)]
        path = plan.add("probes", trained["name"].rsplit("-", 1)[0], "probe", settings, inputs, modules)
        paths |= dict.fromkeys(names, path)
    return paths


def _table(plan: Plan, name: str) -> str:
    project, table = plan.project, plan.project.tables[name]
    scale = project.settings.scale
    settings: dict[str, Any] = {
        "table": name,
        "spec": table.model_dump(exclude_none=True, exclude={"defaults", "each"}),
        "scale": scale,
        "command": _command(project, name),
    }
    inputs: dict[str, str] = {}
    if table.compute is None:
        probes = {seed: _layer_probes(plan, project.rows[name], seed) for seed in seeds(project)}
        settings["rows"] = {
            row_name: [_cell(plan, table, row_name, row, seed, probes[seed], inputs) for seed in seeds(project)]
            for row_name, row in project.rows[name].items()
        }
        for row_name, row in project.rows[name].items():
            settings["spec"]["rows"][row_name] = _shown(project, name, row_name, row)
    if table.figure is not None:
        kind = registry.parse(table.figure)[0]
        if signature.describe("figure", kind).attributes["reads_data"]:
            shown = sorted({row.dataset for row in project.rows[name].values()})
            inputs |= {f"data_{each}" if len(shown) > 1 else "data": _prep(plan, each) for each in shown}
        modules = ["avbalance.results.figures", registry.locate("figure", kind)[0]]
        return plan.add(f"figures/{scale}", name, "results.figures", settings, inputs, modules)
    modules = ["avbalance.results.tables"]
    if table.compute is not None:
        modules.append(registry.locate("formula", table.compute)[0])
    return plan.add(f"tables/{scale}", name, "results.tables", settings, inputs, modules)


def _shown(project: Project, table: str, name: str, row: Row) -> dict[str, str]:
    """How a row is named; rows of several datasets are told apart."""
    label = row.label or name.replace("_", " ")
    if len({each.dataset for each in project.rows[table].values()}) == 1:
        return {"label": label}
    return {"label": f"{project.datasets[row.dataset].title}: {label}"}


def _cell(
    plan: Plan, table: Table, name: str, row: Row, seed: int, probes: Mapping[str, str], inputs: dict[str, str]
) -> dict[str, Any]:
    """The artifacts behind one row and seed; they are added to the table's inputs as `<row>.<seed>.<what>`."""
    modalities = row.modalities or []
    joint = len(modalities) > 1
    run = _run(plan, row, seed)
    cell: dict[str, Any] = {"seed": seed, "run": run, "probe": None, "alone": {}}
    columns = table.columns or columns_of(registry.parse(table.figure)[1] if table.figure else {})
    labelled = plan.project.datasets[row.dataset].task != "verification"  # a probe tells labels
    if any(column.endswith(("_probe", "probe_gap")) for column in columns) and joint and labelled:
        cell["probe"] = _probe(plan, run)
    if any(column.endswith("_alone") for column in columns) and joint:
        cell["alone"] = {modality: _run(plan, alone(row, modality), seed) for modality in modalities}
    if row.probe is not None:
        cell["layers"] = {"probe": probes[name], "layers": row.probe.layers, "moment": row.probe.moment}
    behind = {
        "run": run,
        "probe": cell["probe"],
        "layers": probes.get(name),
        **{f"alone_{m}": path for m, path in cell["alone"].items()},
    }
    inputs |= {f"{name}.{seed}.{what}": path for what, path in behind.items() if path is not None}
    return cell


def _command(project: Project, name: str) -> str:
    command = f"snakemake --cores all --config scale={project.settings.scale} tables=[{name}]"
    if project.settings.seeds is not None:
        command += f" seeds={json.dumps(seeds(project)).replace(' ', '')}"
    return command


def _page(plan: Plan, paths: list[str]) -> str:
    scale = plan.project.settings.scale
    template = Path(__file__).parent / "results" / "page.html.j2"
    settings = {"scale": scale, "template": keys.data_hash(template)}
    inputs = {Path(path).name: path for path in paths}
    return plan.add("page", scale, "results.page", settings, inputs, ["avbalance.results.page"])


def _audit(plan: Plan, dataset: str) -> str:
    """The page that says how a dataset was prepared and what became of its clips."""
    project, spec = plan.project, plan.project.datasets[dataset]
    scale, data = project.settings.scale, _prep(plan, dataset)
    raw = plan.artifacts[plan.artifacts[data].recipe["inputs"]["raw"]].recipe["settings"]
    template = Path(__file__).parent / "prepare" / "audit.html.j2"
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
    return plan.add(f"audit/{scale}", dataset, "prepare.audit", settings, {"data": data}, ["avbalance.prepare.audit"])


def num_gpus(device: str) -> int:
    """How many GPUs a workflow may use with this setting of `device`."""
    if device == "cpu" or shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = (
        listed.count("GPU ") if visible is None else len([name for name in visible.split(",") if name and name != "-1"])
    )
    return min(count, 1) if ":" in device else count


def main() -> None:
    """Print the folders of a plan's artifacts that are here, for `dvc add`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="raw and packed data and weights too")
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=laptop tables=[...]")
    arguments = parser.parse_args()
    plan = make(Path(), parse_overrides(arguments.config))
    for artifact in plan.artifacts.values():
        for product in artifact.products:
            folder = Path(product).parent
            kept = folder.parent.name in ("runs", "blends", "probes") or arguments.all
            if product.endswith(store.MANIFEST) and (folder / store.MANIFEST).exists() and kept:
                print(folder)


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """`key=value` words, as after `snakemake --config`."""
    return {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in items)}


if __name__ == "__main__":
    cli.run(main)
