"""Recipes in the place of a plan, for a process that an executor has started to run some steps."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from avbalance import store

RECIPES = Path("results/recipes")


class Artifacts(dict[str, SimpleNamespace]):
    """{path: step, name, settings, inputs and code of an artifact}, read when it is asked for."""

    def __missing__(self, path: str) -> SimpleNamespace:
        self[path] = SimpleNamespace(**store.load_recipe(RECIPES / f"{Path(path).name}.json"))
        return self[path]


class Recipes:
    """Stand-in for a `Plan` in rules, read from the recipes that the workflow has written; nothing is planned anew.

    Such a process runs the steps that it was given. Their inputs exist, so they need nothing, and nothing else is asked
    for. It imports little, because it starts anew with each job of a cluster.

    Args:
        config: Snakemake's, the overrides of `config.yaml`, which the workflow has checked.
    """

    targets: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = {"gpus": "auto", "mirror": None, "prepare_jobs": 1, **_read("config.yaml"), **config}
        scale = _read(f"scales/{settings['scale']}.yaml")
        self.project = SimpleNamespace(settings=SimpleNamespace(**settings), scale=SimpleNamespace(**scale))
        self.artifacts = Artifacts()

    def needs(self, path: str) -> list[str]:
        """Files that a job has to wait for: none."""
        del path
        return []

    def parts(self, artifact: SimpleNamespace) -> list[str]:
        """Markers of the jobs that make the shards of prepared data: none."""
        del artifact
        return []

    def is_generated(self, artifact: SimpleNamespace) -> bool:
        """True if prepared data come from generated files."""
        return any("generator" in self.artifacts[source].settings for source in artifact.inputs.values())

    def uses_gpu(self, artifact: SimpleNamespace) -> bool:
        """True if the preparation of data computes on a GPU where there is one."""
        from avbalance.planning.artifacts import Plan  # which imports much, and only preparations ask

        return Plan.uses_gpu(artifact)

    def reported(self) -> tuple[()]:
        """Files for a report: none."""
        return ()


def _read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((Path("config") / file).read_text(encoding="utf-8"))
    return content
