"""Artifacts that are wanted, what each needs, and what is there.

Every artifact is `results/<folder>/<slug>-<key>` with the key of its recipe (`avbalance.keys`). An artifact that is
there needs nothing, and one that is there is never asked for: so cached results stand without the data and weights
that they once were made from.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avbalance import keys, store
from avbalance.config import Project

RESULTS = Path("results")
STAMPED = ("tables", "figures", "page", "audit")
"""Folders of small files with fixed names; a stamp beside them has the key in its name and holds the recipe."""


@dataclass
class Artifact:
    """What one job leaves.

    Attributes:
        folder: Its folder below `results/`.
        recipe: {"step", "name", "settings", "inputs": {role: path}, "code": {module: hash}}.
    """

    folder: str
    recipe: dict[str, Any]

    @property
    def name(self) -> str:
        """Slug and key."""
        return str(self.recipe["name"])

    @property
    def path(self) -> str:
        """The artifact's folder, relative to the repository root."""
        return f"{RESULTS}/{self.folder}/{self.name}"

    @property
    def products(self) -> list[str]:
        """The files that say the artifact is there; a run has its weights in a folder of their own."""
        if self.folder.split("/")[0] in STAMPED:
            return [f"{self.path}.key"]
        folders = [self.path, weights(self.path)] if self.folder == "runs" else [self.path]
        return [f"{folder}/{store.MANIFEST}" for folder in folders]


def weights(run: str) -> str:
    """Where the weights of a run lie."""
    return run.replace("/runs/", "/weights/")


@dataclass
class Plan:
    """All artifacts of a configuration, by path.

    Attributes:
        prepared: {data set: path} of the packed data.
        targets: The stamps of what was asked for.
    """

    project: Project
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)

    def needs(self, path: str) -> list[str]:
        """The files a job has to wait for: the absent inputs of an absent artifact."""
        artifact = self.artifacts[path]
        if all(map(self._exists, artifact.products)):
            return []
        sources = sorted(set(artifact.recipe["inputs"].values()))
        files = [
            f"{source}.key" if source.split("/")[1] in STAMPED else f"{source}/{store.MANIFEST}" for source in sources
        ]
        return [file for file in files if not self._exists(file)]

    def _exists(self, file: str) -> bool:
        return os.path.exists(f"{self.project.root}/{file}")  # far faster than pathlib, and called often

    def write_recipes(self) -> None:
        """Write every recipe to `results/recipes/`, where the steps read them."""
        folder = self.project.root / RESULTS / "recipes"
        folder.mkdir(parents=True, exist_ok=True)
        for artifact in self.artifacts.values():
            file = folder / f"{artifact.name}.json"
            if not file.exists():
                unfinished = file.with_suffix(".unfinished")
                unfinished.write_text(json.dumps(artifact.recipe, indent=1) + "\n", encoding="utf-8")
                unfinished.rename(file)

    def check(self) -> None:
        """Look at the sizes of all artifacts that are there.

        Raises:
            UserError: One is damaged.
        """
        for artifact in self.artifacts.values():
            for product in artifact.products:
                if product.endswith(store.MANIFEST) and self._exists(product):
                    store.read_manifest((self.project.root / product).parent)

    def wanted(self) -> set[str]:
        """The absent artifacts that the targets need, and the targets."""
        by_product = {product: path for path, artifact in self.artifacts.items() for product in artifact.products}
        waiting = [by_product[target] for target in self.targets]
        wanted: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path not in wanted:
                wanted.add(path)
                waiting += [by_product[file] for file in self.needs(path)]
        return wanted

    def cached_elsewhere(self) -> list[str]:
        """Wanted artifacts that DVC has a record of, so that `dvc pull` would bring them."""
        return [
            path
            for path in sorted(self.wanted())
            if self._exists(f"{path}.dvc") and not self._exists(self.artifacts[path].products[0])
        ]

    def add(
        self,
        folder: str,
        slug: str,
        step: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        modules: Iterable[str],
    ) -> str:
        """Enter an artifact; returns its path. The same recipe entered twice is one artifact."""
        code = keys.code_of(modules, self.project.equivalent_code)
        key = keys.digest({"step": step, "settings": settings, "inputs": dict(inputs), "code": code})
        separator = "." if folder.split("/")[0] in STAMPED else "-"
        recipe = {
            "step": step,
            "name": f"{slug}{separator}{key}",
            "settings": settings,
            "inputs": dict(inputs),
            "code": code,
        }
        artifact = Artifact(folder, recipe)
        self.artifacts[artifact.path] = artifact
        return artifact.path
