"""The commit in an artifact's provenance, in a real checkout."""

import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from avbalance import provenance


def git(root: Path, *arguments: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *author, *arguments], cwd=root, check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


@pytest.mark.parametrize(
    ("changed", "suffix"),
    [
        ("results/tables/laptop/table.md", ""),
        ("results/new.md", ""),
        ("config/config.yaml", "-dirty"),
        ("src/avbalance/provenance.py", "-dirty"),
    ],
)
def test_what_a_workflow_writes_leaves_a_checkout_clean(tmp_path: Path, changed: str, suffix: str) -> None:
    code = tmp_path / "src/avbalance/provenance.py"
    code.parent.mkdir(parents=True)
    shutil.copy(provenance.__file__, code)
    for name in ("results/tables/laptop/table.md", "config/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("before\n", encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    with (tmp_path / changed).open("a", encoding="utf-8") as file:
        file.write("# after\n")
    spec = spec_from_file_location("provenance_of_the_checkout", code)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.commit() == git(tmp_path, "rev-parse", "HEAD") + suffix
