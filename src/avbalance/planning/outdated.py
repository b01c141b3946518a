"""Tables and figures that today's code and configuration would rebuild, and the differences."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance import store
from avbalance.planning.artifacts import RESULTS, Artifact, Plan

KINDS = ("tables", "figures")


def stamps_of(root: Path, scale: str) -> dict[str, list[Path]]:
    """{table: stamps} of the tables and figures of a scale that exist, older ones too."""
    stamps: dict[str, list[Path]] = {}
    for kind in KINDS:
        for stamp in sorted((root / "results" / kind / scale).glob("*.key")):
            slug, _, _ = stamp.name.partition(".")
            stamps.setdefault(slug, []).append(stamp)
    return stamps


def differences(planned: Plan, stamps: Mapping[str, list[Path]]) -> dict[str, list[str]]:
    """{table: a line for each difference} of the plan's tables and figures that have a stamp of another key."""
    lines = {}
    for artifact in planned.artifacts.values():
        for stamp in stamps.get(artifact.slug, []) if artifact.kind in KINDS else ():
            if stamp.stem != artifact.name:
                lines[artifact.slug] = _compare_all(planned, artifact, stamp)
    return lines


def _compare_all(planned: Plan, artifact: Artifact, stamp: Path) -> list[str]:
    """One line for each step whose code differs and each setting that differs, of the table and of its inputs."""
    lines: set[str] = set()
    waiting = [(json.loads(stamp.read_text(encoding="utf-8")), artifact)]
    seen: set[Path] = set()
    while waiting:
        old, new = waiting.pop()
        lines |= _compare(old, new)
        for (role, path), source in zip(new.inputs.items(), planned.inputs_of(new), strict=True):
            name = Path(old["inputs"].get(role, path)).name  # the weights of a run have the run's name
            folder = planned.project.root / RESULTS / source.kind / name
            if name != source.name and folder not in seen and (folder / store.MANIFEST).exists():
                seen.add(folder)
                waiting.append((store.read_manifest(folder)["recipe"], source))
    return sorted(lines) or ["its rows, seeds or settings"]


def _compare(old: Mapping[str, Any], new: Artifact) -> set[str]:
    lines = {f"the code of step {new.step}"} if old.get("code") != new.code else set()
    for name, value in new.settings.items():
        if name not in ("rows", "spec", "command") and old.get("settings", {}).get(name, value) != value:
            lines.add(f"setting {name}: {old['settings'][name]!r} -> {value!r}")
    return lines
