"""Every command of README.md and docs/ does what is said of it, exactly as it stands there, in a small project."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from checkout import copy_of

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("python ", "snakemake", "avbalance ", "dvc ", "make ", "pip ")
STANDS_FOR = re.compile(r"<[\w ]+>|\.\.\.")
"""What a reader has to fill in."""
NOT_RUN = {
    "make test": "this test is a part of it",
    "python benchmarks/informativeness.py": "takes 379 CPU seconds, as stands beside it",
    "avbalance check mine.head_first:HeadFirst": "needs the file that docs/adding.md shows; test_adding.py runs it",
    "snakemake --cores all --config tables=[head_first]": "needs a table of docs/adding.md, trains its rows",
    "snakemake --cores all --config scale=laptop tables=[balance_leaderboard]": "trains every method on real data",
    "snakemake --lint": "ends with 1, for it asks for an environment for each rule; test_conventions.py runs it",
    "uv pip compile -q pyproject.toml --extra dev --extra slurm --extra torchjd --torch-backend cpu --generate-hashes"
    " -c requirements.lock -o cpu.lock": "needs PyTorch's own index",
    "make .venv/ready LOCK=cpu.lock UV_TORCH_BACKEND=cpu": "needs the lock that the command before it writes",
    "snakemake --profile workflow/profiles/slurm --config tables=[mmcosine_table3]": "needs a cluster; test_cluster.py "
    "has one",
    "python benchmarks/rate.py": "measures a GPU; on a CPU it takes minutes",
    "docker build -t avbalance-image .": "needs Docker",
    'docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD":/work avbalance-image snakemake '
    "--cores all": "needs Docker",
    "docker save -o avbalance.tar avbalance-image": "needs Docker",
    "apptainer build avbalance.sif docker-archive:avbalance.tar": "needs Apptainer",
    "apptainer exec --nv avbalance.sif snakemake --cores all": "needs Apptainer",
    "snakemake --cores all --software-deployment-method apptainer --apptainer-args=--nv": "test_container.py runs it",
    "pip install .": "needs a network; test_package.py installs the wheel",
    "pip install -e '.[pyarrow]'": "needs a network, and the lock has it",
    "pip install -e '.[timm]'": "the same",
    "pip install snakemake-executor-plugin-lsf": "needs a network",
    "pip install dvc-ssh": "needs a network",
    "pip install dvc-s3": "needs a network",
    "dvc remote modify store method PUT": "goes with the https address that it stands beside",
}
ALSO = ["snakemake", "snakemake --dag", "snakemake --summary"]
"""What anybody types who knows Snakemake."""
TABLES = {"miniature": "mmcosine_table3", "laptop": "avmnist_mmcosine", "paper": "mmcosine_table3"}
SMALL = {"source": "generated", "reader": {"num_train": 100, "num_test": 50}}
SCALE = {
    "seeds": [0],
    "threads": 1,
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.001, "patience": 1, "precision": "float32"},
    "datasets": {"avmnist": SMALL, "cremad": SMALL},
}
TABLE = {
    "title": "The row of README.md",
    "paper": "none",
    "defaults": {"dataset": "avmnist", "encoder": {"visual": "conv2net", "audio": "conv1net"}},
    "columns": ["accuracy"],
}
FORMULA = {
    "title": "No runs",
    "paper": "none",
    "compute": "contrastive_factors",
    "rows": {"one": {"label": "one", "sim_positive": 0.5, "sim_negative": 0.5}},
    "columns": ["f_log"],
}


def blocks(page: Path, language: str) -> list[str]:
    return [block for found, block in BLOCK.findall(page.read_text("utf-8")) if found == language]


def commands() -> list[str]:
    """Each command once: those of blocks, then those in the text.

    tests/workflow/test_adding.py runs the block of docs/adding.md, which needs the files that the page shows.
    """
    pages = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "docs").glob("*.md"))]
    of_blocks = [block for page in pages if page.name != "adding.md" for block in blocks(page, "sh")]
    lines = [line.partition(" #")[0].rstrip() for block in of_blocks for line in block.splitlines()]
    for page in pages:
        text = BLOCK.sub("", page.read_text("utf-8"))
        lines += [code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(PROGRAMS)]
    return [line for line in dict.fromkeys(lines + ALSO) if line not in NOT_RUN and not STANDS_FOR.search(line)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where files can be had that stand for weights in the network."""
    folder = tmp_path_factory.mktemp("network")
    (folder / "weights").write_bytes(b"weights")
    server = HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, address: str) -> Path:
    """The project, set up, with small scales, tables and datasets, and with the row of README.md."""
    path = copy_of(ROOT, tmp_path_factory.mktemp("documents") / "project").path
    config = path / "config"
    for file in [*config.glob("tables/*.yaml"), *config.glob("scales/*.yaml")]:
        file.unlink()
    (row,) = blocks(ROOT / "README.md", "yaml")
    (config / "tables/avmnist_mmcosine.yaml").write_text(
        yaml.safe_dump({**TABLE, **yaml.safe_load(row)}), encoding="utf-8"
    )
    (config / "tables/mmcosine_table3.yaml").write_text(yaml.safe_dump(FORMULA), encoding="utf-8")
    for scale, table in TABLES.items():
        content = {**SCALE, "tables": [table], "rates": {"tflops": 1.0, "windows_per_second": 1.0}}
        (config / f"scales/{scale}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    shutil.copy(config / "datasets/avmnist.yaml", config / "datasets/cremad.yaml")
    replace(config / "models/retinaface_resnet50.yaml", "https://.*{path}", address + "/{path}")
    (config / "models/retinaface_resnet50.urls").write_text(f"{address}/weights\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    set_up(path)
    return path


def replace(file: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern.replace("{", r"\{"), lambda _: new, file.read_text("utf-8"))
    assert count, pattern
    file.write_text(text, encoding="utf-8")


def set_up(path: Path) -> None:
    """Leave what `make .venv/ready` leaves: an environment with the packages of this one and the project's own code."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path / ".venv"], check=True)
    here = {"base": path / ".venv", "platbase": path / ".venv"}
    packages = Path(sysconfig.get_path("purelib", vars={name: str(folder) for name, folder in here.items()}))
    (packages / "all.pth").write_text(f"{path}/src\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    for program in Path(sys.executable).parent.iterdir():
        if not (path / ".venv/bin" / program.name).exists():
            (path / ".venv/bin" / program.name).symlink_to(program)
    # Links would lead to another checkout, and pip would install into its environment.
    for name, function in {"avbalance": "avbalance.__main__ import run", "pip": "pip import main as run"}.items():
        script = path / ".venv/bin" / name
        script.unlink(missing_ok=True)
        script.write_text(f"#!{path}/.venv/bin/python\nfrom {function}\n\nrun()\n", encoding="utf-8")
        script.chmod(0o755)
    (path / ".venv/ready").touch()


def run(path: Path, command: str) -> str:
    """What a command says in a shell in which the environment was activated, and nothing else was done."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "AVBALANCE_MIRROR")}
    kept["PATH"] = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if folder != str(Path(sys.executable).parent)
    )
    activate = "" if command.startswith("make") else ". .venv/bin/activate\n"
    done = subprocess.run(
        ["bash", "-c", activate + command], cwd=path, env=kept, capture_output=True, encoding="utf-8", check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{command}: ended with {done.returncode}:\n{said[-4000:]}"
    return said


@pytest.mark.timeout(1500)
def test_each_command_does_as_it_stands(project: Path) -> None:
    """A minute for forty commands, each in a shell of its own; one test, for a command finds what others have left."""
    for command in commands():
        said = run(project, command)
        if "snakemake -n" in command:  # other seeds have another table under the same name, so that is built again
            assert "train_run" not in said, command
        if command == "make demo":
            assert "The page: results/page/miniature--avmnist_mmcosine.html" in said.splitlines()
            assert (project / "results/page/miniature--avmnist_mmcosine.html").exists()
        if "--report" in command:
            assert (project / "report.zip").stat().st_size > 100_000
        assert str(project) not in (metadata.distribution("avbalance").read_text("direct_url.json") or ""), command


def test_a_checkout_serves_a_folder_elsewhere_and_is_left_as_it_was(project: Path, tmp_path: Path) -> None:
    (command,) = (block for block in blocks(ROOT / "docs/artifacts.md", "sh") if "<checkout>" in block)
    before = sorted((project / "results").rglob("*"))
    shutil.copytree(project / ".venv", tmp_path / ".venv", symlinks=True)
    run(tmp_path, command.replace("<checkout>", str(project)))
    assert (tmp_path / "results/tables/miniature/mmcosine_table3.md").exists()
    assert sorted((project / "results").rglob("*")) == before
