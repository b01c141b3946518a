"""A working tree of the project in which commands run with its own sources."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NOTHING = "Nothing to be done"


@dataclass
class Checkout:
    """A working tree in which commands run with its own sources."""

    path: Path

    def run(self, *command: str, check: bool = True, **more: str) -> str:
        """Output and errors of a command."""
        done = subprocess.run(
            command, cwd=self.path, env={**environment(), **more}, capture_output=True, encoding="utf-8", check=False
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{said[-4000:]}"
        return said

    def snakemake(self, *arguments: str, check: bool = True, **more: str) -> str:
        """Snakemake at the small scale."""
        return self.run("snakemake", *arguments, "--config", "scale=small", check=check, **more)

    def planned(self) -> dict[str, int]:
        """{rule: jobs} of a dry run."""
        said = self.snakemake("-n", "-q", "rules")
        if NOTHING in said:
            return {}
        lines = said.split("job             count")[-1].splitlines()
        counts = {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 2 and words[1].isdigit()}
        return {rule: count for rule, count in counts.items() if rule not in ("all", "total")}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        path = self.path / file
        assert old in path.read_text(encoding="utf-8")
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def artifacts(self, folder: str) -> list[Path]:
        """The artifacts in a folder of `results/`."""
        return sorted(path.parent for path in (self.path / "results" / folder).glob("*/manifest.json"))


def copy_of(root: Path, path: Path) -> Checkout:
    """A copy of the project's files without results, with what git does not know yet and does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if not name.startswith("results/") and (root / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, path / name, follow_symlinks=False)
    return Checkout(path)


def environment() -> dict[str, str]:
    """This environment, with the interpreter's own commands first and no sources from elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "AVBALANCE_MIRROR")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
