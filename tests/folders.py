"""Folders of prepared data in tests."""

from pathlib import Path


def both(folder: Path | str) -> dict[str, Path]:
    """{modality: folder} of sound and pictures that lie in one folder."""
    return dict.fromkeys(("audio", "visual"), Path(folder))
