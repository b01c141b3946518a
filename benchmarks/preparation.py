"""How fast do raw clips become packed arrays, and what of it is not the codec's?

GRID's talking faces (`--raw`, a folder that holds grid_s1/clips.tar and metadata.csv): of every clip all 75 frames of
112 x 112 in colour and 3 s of sound as a 40-band log-mel spectrogram. In turn, each in a fresh process: all clips with
one worker and with one a core; a tenth of the clips; all again after one clip's bytes changed. Then once in this
process with a clock around libav: opening, demuxing, decoding, conversion to RGB and resampling count as the codec's.
"""

import argparse
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import print_conditions, print_table, run_command

from avbalance import store
from avbalance.prepare import media, windows

CLIP_SECONDS = 3.0
VIEWS = {
    "audio": {
        "log_mel": {
            "sample_rate": 16000,
            "seconds": CLIP_SECONDS,
            "num_mels": 40,
            "window_samples": 400,
            "hop_samples": 160,
        }
    },
    "visual": {"frames": {"size": 112, "num_frames": 75}},
}
MIB = 2**20


def make_raw(archive: Path, folder: Path, num_clips: int, changed: bool = False) -> Path:
    """A raw folder with some of the sentences, evenly taken; if changed, the first has the second one's bytes."""
    with store.publish(folder, {"step": "prepare.download"}) as out, tarfile.open(archive / "clips.tar") as members:
        lines = (archive / "metadata.csv").read_text().splitlines()
        members.extractall(out / "grid_s1", filter="data")
        kept = lines[1 :: (len(lines) - 1) // num_clips][:num_clips]
        (out / "grid_s1/metadata.csv").write_text("\n".join([lines[0], *kept]) + "\n")
        if changed:
            first, second = (out / "grid_s1" / line.split(",")[0] for line in kept[:2])
            shutil.copyfile(second, first)
    return folder


def make_recipe(raw: Path) -> dict[str, Any]:
    """All frames and the whole sound of every sentence."""
    options = {"clip_seconds": None, "windows": {}, "val_fraction": 0.2, "seed": 0, "max_seconds": 600.0}
    settings = {
        "dataset": "grid",
        "task": "single_label",
        "num_classes": 10,
        "classes": None,
        # The middle of a digit lies at least 0.9 s from both ends, so this stretch is as good as the whole.
        "reader": {"grid": {"word": "digit", "seconds": 2 * CLIP_SECONDS}},
        "prepare": {**options, "max_dropped": 0.02, "drop_duplicates": False, "views": VIEWS},
    }
    return {"step": "prepare.media", "name": "grid", "settings": settings, "inputs": {"raw": str(raw)}, "code": {}}


def clocked(function: Callable[..., Any], total: list[float]) -> Callable[..., Any]:
    """The function, with its seconds added up."""

    def call(*arguments: Any) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            total[0] += time.perf_counter() - start

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder with grid_s1/clips.tar and metadata.csv")
    parser.add_argument("--clips", type=int, default=1000, help="how many of the 1,000 clips")
    parser.add_argument("--folder", type=Path, help="where 3 GB may be written (default: the temporary folder)")
    arguments = parser.parse_args()
    archive, count = arguments.raw / "grid_s1", arguments.clips
    cores = len(os.sched_getaffinity(0))
    print_conditions(clips=count, seconds_of_media=round(count * CLIP_SECONDS))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        raws = {
            "whole": make_raw(archive, folder / "whole", count),
            "tenth": make_raw(archive, folder / "tenth", count // 10),
            "changed": make_raw(archive, folder / "changed", count, changed=True),
        }

        def measured(name: str, workers: int, keep: bool = False) -> tuple[float, float, float]:
            (folder / "recipe.json").write_text(json.dumps(make_recipe(raws[name])))
            step = [sys.executable, "-m", "avbalance.prepare.media", "--recipe", "recipe.json", "--out", "prep"]
            used = run_command([*step, "--threads", str(workers)], folder)
            shutil.rmtree(folder / "prep")
            if not keep:
                shutil.rmtree(folder / "results")
            return used.seconds, used.user_seconds, used.peak_bytes / MIB

        rows = []
        alone = measured("whole", 1)
        all_cores = measured("whole", cores, keep=True)
        again = measured("changed", cores)
        tenth = measured("tenth", cores)
        for what, clips, used in (
            ("1 worker", count, alone),
            (f"{cores} workers", count, all_cores),
            (f"{cores} workers, one clip changed since", count, again),
            (f"{cores} workers, a tenth of the clips", count // 10, tenth),
        ):
            rates = f"{clips / used[0]:,.0f}", f"{clips * CLIP_SECONDS / used[0]:,.0f}"
            rows.append([what, f"{used[0]:.1f}", *rates, f"{alone[0] / used[0]:.2f}", f"{used[2]:,.0f}"])
        print_table(
            ["all frames and sound", "s", "clips/s", "media s / s", "1 worker / this", "largest process, MiB"], rows
        )

        decoding = [0.0]
        for name in ("_inspect", "read_frames", "read_audio"):
            setattr(windows, name, clocked(getattr(windows, name), decoding))
        start = time.perf_counter()
        media.prepare(make_recipe(raws["whole"]), folder / "prep", 1, resume=folder / "resume")
        whole = time.perf_counter() - start
        print(f"one worker in this process: {whole:.1f} s, of which {1 - decoding[0] / whole:.0%} outside the codec")


if __name__ == "__main__":
    main()
