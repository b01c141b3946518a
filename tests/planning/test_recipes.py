import subprocess
import sys

import pytest

from avbalance.planning.artifacts import Plan
from avbalance.planning.recipes import Recipes


def test_recipes_answer_as_the_plan_that_wrote_them(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    planned.write_recipes()
    monkeypatch.chdir(planned.project.root)
    recipes = Recipes({"scale": "miniature", "device": "cpu"})
    for path, artifact in planned.artifacts.items():
        read = recipes.artifacts[path]
        assert (read.step, read.settings, read.inputs) == (artifact.step, artifact.settings, artifact.inputs)
        assert recipes.needs(path) == []
        if artifact.kind == "prep":
            assert recipes.is_generated(read) == planned.is_generated(artifact)
            assert recipes.uses_gpu(read) == planned.uses_gpu(artifact)
    for name in ("device", "gpus", "mirror"):
        assert getattr(recipes.project.settings, name) == getattr(planned.project.settings, name)
    assert recipes.project.scale.threads == planned.project.scale.threads


def test_reading_recipes_imports_no_schema_and_no_torch() -> None:
    code = (
        "import sys; from avbalance.planning import recipes; print({'pydantic', 'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "set()\n"
