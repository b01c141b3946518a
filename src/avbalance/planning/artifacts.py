"""Artifacts, and the plan of all of them: what each needs, and what exists.

Every artifact is `results/<folder>/<slug>.<key>` with the key of its recipe (`planning.keys`). An artifact that exists
needs nothing, and is never asked for: so cached results stand without the data and weights that they were made from.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from avbalance import bundles, registry, stamps, store
from avbalance.configuration import signature
from avbalance.configuration.project import Project
from avbalance.errors import UserError
from avbalance.planning import keys
from avbalance.planning.missing import Missing

RESULTS = Path("results")
FOLDERS = ("raw", "selections", "prep", "runs", "weights", "combined", "blends", "tuned", "probes")
"""Folders in which each artifact is a folder with a manifest."""
BUNDLED = ("runs", "combined", "tuned", "probes")
"""Kinds of artifacts that travel in bundles if a table, a figure or a page reads them."""
STAMPED = ("tables", "figures", "page", "audit")
"""Folders of small files with fixed names; a stamp beside them has the key in its name and holds the recipe."""
REPORTED = {"tables": (".csv", ".md"), "figures": (".svg",), "page": (".html",)}
"""{kind: suffixes} of the files that `snakemake --report` shows."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """Result of one job.

    Attributes:
        kind: First folder below `results/`, such as `runs` or `tables`.
        scale: Second folder, of stamped artifacts that stand apart for each scale; else empty.
        slug: Short readable name; several artifacts may share it.
        step: Name of the step that makes the artifact.
        inputs: {role: path of another artifact, or of the weights of a run}.
        code: Hash of the code.
    """

    kind: str
    scale: str
    slug: str
    step: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: str

    @cached_property
    def key(self) -> str:
        """Hash of step, settings, inputs and code."""
        content = {"step": self.step, "settings": self.settings, "inputs": self.inputs, "code": self.code}
        return store.digest(content)

    @cached_property
    def name(self) -> str:
        """Slug and key."""
        return f"{self.slug}.{self.key}"

    @cached_property
    def folder(self) -> str:
        """Folder below `results/` that holds artifacts like this one."""
        return f"{self.kind}/{self.scale}" if self.scale else self.kind

    @cached_property
    def path(self) -> str:
        """The artifact's folder, relative to the repository root; of a stamped one, its stamp without the suffix."""
        return f"{RESULTS}/{self.folder}/{self.name}"

    @property
    def weights(self) -> str:
        """Folder of the weights of a run."""
        return f"{RESULTS}/weights/{self.name}"

    @property
    def log(self) -> str:
        """File that the job writes its messages to."""
        return f"{RESULTS}/logs/{self.folder}/{self.name}.log"

    @property
    def is_stamped(self) -> bool:
        """True for small files with fixed names, beside which a stamp lies."""
        return self.kind in STAMPED

    @cached_property
    def products(self) -> dict[str, str]:
        """{path by which others name the artifact: the manifest or stamp that says that it exists}."""
        if self.is_stamped:
            return {self.path: f"{self.path}.key"}
        paths = [self.path, self.weights] if self.kind == "runs" else [self.path]
        return {path: f"{path}/{store.MANIFEST}" for path in paths}

    @property
    def product(self) -> str:
        """Manifest or stamp; for a run, the manifest apart from its weights."""
        return self.products[self.path]

    @property
    def recipe(self) -> dict[str, Any]:
        """Content of the file that the step reads."""
        return {
            "step": self.step,
            "name": self.name,
            "settings": self.settings,
            "inputs": dict(self.inputs),
            "code": self.code,
        }


@dataclass
class Plan:
    """Plan of all artifacts of a configuration, by path.

    Attributes:
        prepared: {dataset: {modality: its packed data}}; one artifact for all if its reader gives arrays.
        targets: Stamps of the tables, figures, page and audits that were asked for.
        missing: {path of raw data: the files of theirs that have to be recorded or brought first}.
        left_out: Names of the tables that cannot be planned without such files.
        postponed: Message about these tables and files.
        unpacked: Number of the artifacts that came from bundles when the plan was made.
    """

    project: Project
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    prepared: dict[str, dict[str, Artifact]] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    missing: dict[str, Missing] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    postponed: str = ""
    unpacked: int = 0
    _owners: dict[str, Artifact] = field(default_factory=dict)

    def add(
        self,
        folder: str,
        slug: str,
        step: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        places: Iterable[str],
    ) -> Artifact:
        """Enter an artifact and return it. The same recipe entered twice is one artifact.

        Args:
            folder: Below `results/`: a kind, or `<kind>/<scale>`.
            places: Where the code of its step begins: `module:name` or `module`.
        """
        kind, _, scale = folder.partition("/")
        artifact = Artifact(kind, scale, slug, step, settings, inputs, keys.code_of(places))
        artifact = self.artifacts.setdefault(artifact.path, artifact)
        self._owners |= dict.fromkeys(artifact.products, artifact)
        return artifact

    def inputs_of(self, artifact: Artifact) -> list[Artifact]:
        """Artifacts that an artifact is made from."""
        return [self._owners[path] for path in artifact.inputs.values()]

    def is_generated(self, artifact: Artifact) -> bool:
        """True if prepared data come from generated files, which are so few that one process is enough."""
        return any("generator" in source.settings for source in self.inputs_of(artifact))

    @staticmethod
    def uses_gpu(artifact: "Artifact | SimpleNamespace") -> bool:
        """True if the preparation of data computes on a GPU where there is one: a detector of its views does."""
        view = artifact.settings.get("view", {})
        methods = registry.methods_of([("view", view)])
        return any(signature.describe(kind, name).attributes.get("uses_gpu") for kind, name in methods)

    @property
    def pages(self) -> dict[str, str]:
        """{page: name of its recipe} of the page that was asked for, if any."""
        pages = [artifact for artifact in self.artifacts.values() if artifact.kind == "page"]
        return {f"{RESULTS}/page/{page.slug}.html": page.name for page in pages}

    def reported(self) -> Iterator[tuple[str, str, str]]:
        """Yield (file, kind, slug) of the tables, figures and pages that exist."""
        for artifact in self.artifacts.values():
            for suffix in REPORTED.get(artifact.kind, ()):
                file = f"{RESULTS}/{artifact.folder}/{artifact.slug}{suffix}"
                if self.exists(file):
                    yield file, artifact.kind, artifact.slug

    def notes(self) -> list[str]:
        """Notes for the user: artifacts from bundles, what `dvc pull` would bring, runs to train, absent files."""
        lines = [f"{self.unpacked} artifacts unpacked from {bundles.BUNDLES}"] if self.unpacked else []
        cached = self.cached_elsewhere()
        lines += [f"{len(cached)} artifacts are cached, not pulled: dvc pull"] if cached else []
        num_runs = sum(path.startswith(f"{RESULTS}/runs/") for path in self.wanted())
        if num_runs and self.project.scale.rates is not None:
            lines.append(f"{num_runs:,} runs to train; 'avbalance estimate' with these keys tells disk and GPU hours")
        return [*lines, self.postponed] if self.postponed else lines

    def behind(self, artifacts: Iterable[Artifact]) -> set[Artifact]:
        """Given artifacts and all others that they are made from, directly or not."""
        reached: set[Artifact] = set()
        waiting = list(artifacts)
        while waiting:
            artifact = waiting.pop()
            if artifact not in reached:
                reached.add(artifact)
                waiting += self.inputs_of(artifact)
        return reached

    def lacking(self, artifacts: Iterable[Artifact]) -> dict[Missing, list[str]]:
        """{missing files: slugs of the artifacts that wait for them}; what exists waits for nothing."""
        known: dict[str, frozenset[Missing]] = {}

        def behind(artifact: Artifact) -> frozenset[Missing]:
            if artifact.path not in known:
                own = frozenset([self.missing[artifact.path]] if artifact.path in self.missing else [])
                inputs = [] if self.is_there(artifact) else self.inputs_of(artifact)
                known[artifact.path] = own.union(*map(behind, inputs))
            return known[artifact.path]

        lacking: dict[Missing, list[str]] = {}
        for artifact in artifacts if self.missing else ():
            for files in behind(artifact):
                lacking.setdefault(files, []).append(artifact.slug)
        return lacking

    def needs(self, path: str) -> list[str]:
        """Files that a job has to wait for: absent inputs of an absent artifact, except those that others wait for."""
        artifact = self.artifacts[path]
        if self.is_there(artifact):
            return []
        absent = self._absent_inputs(artifact)
        behind = {owner for other in set(absent.values()) for owner in self._absent_inputs(other).values()}
        return sorted(product for product, owner in absent.items() if owner not in behind)

    def parts(self, artifact: Artifact) -> list[str]:
        """Markers of the jobs that make the shards of absent prepared data, if there are several jobs."""
        num_jobs = self.project.settings.prepare_jobs
        if artifact.step != "media" or num_jobs == 1 or self.is_there(artifact):
            return []
        return [f"{RESULTS}/resume/parts/{artifact.name}/{part}" for part in range(num_jobs)]

    def _absent_inputs(self, artifact: Artifact) -> dict[str, Artifact]:
        """{product: its artifact} of the inputs that do not exist."""
        owners = {self._owners[path].products[path]: self._owners[path] for path in artifact.inputs.values()}
        return {product: owner for product, owner in owners.items() if not self.exists(product)}

    def is_there(self, artifact: Artifact) -> bool:
        """True if all products of an artifact exist, and the files of its stamp are whole."""
        return all(map(self.exists, artifact.products.values()))

    @cached_property
    def broken(self) -> frozenset[str]:
        """Stamps that exist, but whose files are missing or were changed since; they count as absent."""
        broken = set()
        for artifact in self.artifacts.values():
            if artifact.is_stamped and (stamp := self.project.root / artifact.product).exists():
                try:
                    stamps.read(stamp)
                except UserError:
                    broken.add(artifact.product)
        return frozenset(broken)

    def exists(self, file: str) -> bool:
        """True if a product exists and, where it is a stamp, its files are whole."""
        # os.path is far faster than pathlib, and Snakemake calls this often
        return os.path.exists(f"{self.project.root}/{file}") and file not in self.broken

    def write_recipes(self) -> None:
        """Write every recipe to `results/recipes/`, where the steps read them."""
        for artifact in self.artifacts.values():
            file = self.project.root / RESULTS / "recipes" / f"{artifact.name}.json"
            if not file.exists():
                store.replace(file, json.dumps(artifact.recipe, indent=1, allow_nan=False) + "\n")

    def check(self) -> None:
        """Check the sizes of the files of all artifacts that exist, except raw folders, which may hold millions.

        Raises:
            UserError: An artifact is damaged.
        """
        for artifact in self.artifacts.values():
            for path, product in artifact.products.items():
                if artifact.kind not in ("raw", *STAMPED) and self.exists(product):
                    store.read_manifest(self.project.root / path)

    def wanted(self) -> set[str]:
        """Paths of the absent artifacts that the targets need, and of the targets."""
        by_product = {artifact.product: artifact for artifact in self.artifacts.values()}
        return {artifact.path for artifact in self.wanted_by(by_product[target] for target in self.targets)}

    def wanted_by(self, artifacts: Iterable[Artifact]) -> set[Artifact]:
        """The absent artifacts that some artifacts need, and these themselves."""
        wanted: set[Artifact] = set()
        waiting = list(artifacts)
        while waiting:
            artifact = waiting.pop()
            if artifact not in wanted:
                wanted.add(artifact)
                if not self.is_there(artifact):
                    waiting += self._absent_inputs(artifact).values()
        return wanted

    def cached_elsewhere(self) -> list[str]:
        """Wanted artifacts that `dvc pull` would bring: in a bundle, or with a record of their own."""
        return [
            path
            for path in sorted(self.wanted())
            if (path in self.bundled or self.exists(f"{path}.dvc")) and not self.exists(self.artifacts[path].product)
        ]

    @cached_property
    def bundled(self) -> frozenset[str]:
        """Folders of the artifacts in bundles, pulled or not."""
        return frozenset(chain.from_iterable(bundles.listed(self.project.root).values()))
