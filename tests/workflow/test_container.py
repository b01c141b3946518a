"""Jobs in a container: what Snakemake asks of apptainer, and whether the jobs do their work with another interpreter.

No container runtime is needed: a program named `apptainer` notes how it is called and runs the command with the PATH of
a folder that stands for the image. Its `python` is the only interpreter there.
"""

import json
import re
import sys
from pathlib import Path

import pytest
from checkout import NOTHING, Checkout

ROOT = Path(__file__).parents[2]
APPTAINER = """#!{python}
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print("apptainer version 1.3.4")
else:
    *options, shell, flag, command = sys.argv[1:]
    with open("calls.jsonl", "a") as file:
        file.write(json.dumps([options, command, os.environ.get("AVBALANCE_WARM")]) + "\\n")
    os.environ["PATH"] = "{image}:/usr/bin:/bin"
    os.execvp(shell, [shell, flag, command])
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with `apptainer`."""
    image, folder = tmp_path / "image", tmp_path / "runtime"
    programs = {image / "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'}
    programs[folder / "apptainer"] = APPTAINER.format(python=sys.executable, image=image)
    for path, text in programs.items():
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    return folder


def test_every_job_runs_with_the_interpreter_of_the_image(pulled: Checkout, runtime: Path) -> None:
    (pulled.path / "avbalance.sif").touch()
    pulled.edit("config/tables/two_rows.yaml", "title: Two rows", "title: Both rows")
    pulled.edit("config/tables/one_figure.yaml", "title: Curves", "title: Curve")
    path = f"{runtime}:{Path(sys.executable).parent}:/usr/bin:/bin"
    pulled.snakemake("--software-deployment-method", "apptainer", "--apptainer-args=--nv", PATH=path)
    assert NOTHING in pulled.snakemake("-n")
    calls = [json.loads(line) for line in (pulled.path / "calls.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [re.match(r"(?:set -euo pipefail; +)?python -m avbalance ([\w.]+) ", command) for _, command, _ in calls]
    assert {step and step[1] for step in steps} == {"results.tables", "results.figures", "results.page"}
    for options, command, warm in calls:
        assert options[:3] == ["exec", "--home", str(pulled.path)]
        assert options[-1] == "avbalance.sif"
        assert "--nv" in options
        assert sys.executable not in command
        assert warm is None  # the process that forks steps has the interpreter of this machine


def test_the_image_has_the_python_of_the_hosted_tests_and_every_locked_package() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (version,) = (line.removeprefix("FROM python:").removesuffix("-slim") for line in lines if line.startswith("FROM"))
    assert f'"{version}"' in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock" in lines
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").split() == ["*", "!requirements.lock"]
