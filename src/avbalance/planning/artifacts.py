"""Artifacts that are wanted, what each needs, and what is there.

Every artifact is `results/<folder>/<slug>-<key>` with the key of its recipe (`planning.keys`). An artifact that is
there needs nothing, and one that is there is never asked for: so cached results stand without the data and weights
that they once were made from.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from avbalance import stamps, store
from avbalance.configuration.project import Project
from avbalance.errors import UserError
from avbalance.planning import keys

RESULTS = Path("results")
FOLDERS = ("raw", "prep", "runs", "weights", "blends", "probes")
"""Folders in which each artifact is a folder with a manifest."""
STAMPED = ("tables", "figures", "page", "audit")
"""Folders of small files with fixed names; a stamp beside them has the key in its name and holds the recipe."""
REPORTED = {"tables": (".csv", ".md"), "figures": (".svg",), "page": (".html",)}
"""{kind: suffixes} of the files that `snakemake --report` shows."""


@dataclass
class Artifact:
    """What one job leaves.

    Attributes:
        folder: Its folder below `results/`.
        recipe: {"step", "name", "settings", "inputs": {role: path}, "code": hash}.
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
        unrecorded: {raw artifact: a line for each list of checksums that it lacks}.
        left_out: The tables that wait for such lists.
    """

    project: Project
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    unrecorded: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def pages(self) -> dict[str, str]:
        """{page: name of its recipe}; the one that was asked for, if any."""
        names = [artifact.name for artifact in self.artifacts.values() if artifact.folder == "page"]
        return {f"{RESULTS}/page/{name.rsplit('.', 1)[0]}.html": name for name in names}

    def reported(self) -> Iterator[tuple[str, str, str]]:
        """(file, kind, slug) of the tables, figures and page that are there."""
        for artifact in self.artifacts.values():
            kind, slug = artifact.folder.split("/")[0], artifact.name.rsplit(".", 1)[0]
            for suffix in REPORTED.get(kind, ()):
                file = f"{RESULTS}/{artifact.folder}/{slug}{suffix}"
                if self.exists(file):
                    yield file, kind, slug

    def notes(self) -> list[str]:
        """Lines for the user: what `dvc pull` would bring, and tables that wait for lists of checksums."""
        cached = self.cached_elsewhere()
        lines = [f"{len(cached)} artifacts are cached, not pulled: dvc pull"] if cached else []
        return lines + self.postponed()

    def behind(self, path: str) -> set[str]:
        """An artifact and all that it is made from, also by others."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            each = waiting.pop().replace("/weights/", "/runs/")
            if each not in found:
                found.add(each)
                waiting += self.artifacts[each].recipe["inputs"].values()
        return found

    def postponed(self) -> list[str]:
        """A line that names the tables left out, and one for each list of checksums that they wait for."""
        if not self.left_out:
            return []
        lines = sorted({line for lines in self.unrecorded.values() for line in lines})
        names = ", ".join(self.left_out)
        return [f"{len(self.left_out)} tables wait for files to be recorded or brought first: {names}", *lines]

    def lacking(self, paths: Iterable[str]) -> list[str]:
        """A line for each list of checksums that artifacts wait for."""
        behind = {each for path in paths for each in self.behind(path)}
        return sorted({line for path, lines in self.unrecorded.items() if path in behind for line in lines})

    def needs(self, path: str) -> list[str]:
        """The files a job has to wait for: the absent inputs of an absent artifact."""
        artifact = self.artifacts[path]
        if self.is_there(artifact):
            return []
        sources = sorted(set(artifact.recipe["inputs"].values()))
        products = [
            f"{source}.key" if source.split("/")[1] in STAMPED else f"{source}/{store.MANIFEST}" for source in sources
        ]
        return [product for product in products if not self.exists(product)]

    def is_there(self, artifact: Artifact) -> bool:
        """True if all products of an artifact exist, and the files of its stamp are whole."""
        return all(map(self.exists, artifact.products))

    @cached_property
    def broken(self) -> frozenset[str]:
        """Stamps that exist, but whose files are missing or were changed since; they count as absent."""
        found = set()
        for artifact in self.artifacts.values():
            for product in artifact.products:
                if product.endswith(".key") and (stamp := self.project.root / product).exists():
                    try:
                        stamps.read(stamp)
                    except UserError:
                        found.add(product)
        return frozenset(found)

    def exists(self, file: str) -> bool:
        """True if a product exists and, where it is a stamp, its files are whole."""
        # os.path is far faster than pathlib, and this is called often
        return os.path.exists(f"{self.project.root}/{file}") and file not in self.broken

    def write_recipes(self) -> None:
        """Write every recipe to `results/recipes/`, where the steps read them."""
        for artifact in self.artifacts.values():
            file = self.project.root / RESULTS / "recipes" / f"{artifact.name}.json"
            if not file.exists():
                store.replace(file, json.dumps(artifact.recipe, indent=1, allow_nan=False) + "\n")

    def check(self) -> None:
        """Look at the sizes of all artifacts that are there.

        Raises:
            UserError: One is damaged.
        """
        for artifact in self.artifacts.values():
            for product in artifact.products:
                if product.endswith(store.MANIFEST) and self.exists(product):
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
            if self.exists(f"{path}.dvc") and not self.exists(self.artifacts[path].products[0])
        ]

    def add(
        self,
        folder: str,
        slug: str,
        step: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        places: Iterable[str],
    ) -> str:
        """Enter an artifact; returns its path. The same recipe entered twice is one artifact.

        Args:
            places: Where its code begins: `module:name` or `module`.
        """
        code = keys.code_of(places)
        key = store.digest({"step": step, "settings": settings, "inputs": dict(inputs), "code": code})
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
