"""How fast do raw clips become packed arrays, and what of it is not the codec's?

GRID's talking faces (AVBALANCE_MIRROR names the folder that holds grid_s1): of every clip all 75 frames, gray and
64 x 64 as the project's own data set packs them, and 3 s of sound as a 40-band log-mel spectrogram. In turn, each in a
fresh process: one worker and one a core; all again after one clip's bytes changed; a tenth of the clips; hardly any,
which is what starting costs. Then in this process, with one worker and a clock around libav: opening, demuxing,
decoding, conversion to RGB and resampling count as the codec's. "every pixel" packs all of 112 x 112 in colour, 2.8 MB
a clip.
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
from statistics import median
from typing import Any

from measure import print_conditions, print_table, run_command

from avbalance import store
from avbalance.data.grid import METADATA
from avbalance.prepare import media, select_clips, windows

CLIP_SECONDS = 3.0
LOG_MEL = {"sample_rate": 16000, "seconds": CLIP_SECONDS, "num_mels": 40, "window_samples": 400, "hop_samples": 160}
OWN, EVERY_PIXEL = {"size": 64, "num_frames": 75, "gray": True}, {"size": 112, "num_frames": 75}
VIEWS: dict[str, dict[str, Any]] = {"audio": {"log_mel": LOG_MEL}, "visual": {"frames": OWN}}
SHARED = {"dataset": "grid", "task": "single_label", "num_classes": 10, "classes": None, "max_dropped": 0.02}
FEW = 20
MIB = 2**20


def make_raw(folder: Path, num_clips: int, changed: bool = False) -> Path:
    """A raw folder with some of the sentences, evenly taken; if changed, the first has the second one's bytes."""
    mirror = Path(os.environ["AVBALANCE_MIRROR"])
    with store.publish(folder, {"step": "prepare.download"}) as out:
        with tarfile.open(mirror / "grid_s1/clips.tar") as clips:
            clips.extractall(out / "grid_s1", filter="data")
        head, *lines = (mirror / METADATA).read_text(encoding="utf-8").splitlines()
        kept = lines[:: len(lines) // num_clips][:num_clips]
        (out / METADATA).write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
        if changed:
            first, second = (out / "grid_s1" / line.split(",")[0] for line in kept[:2])
            shutil.copyfile(second, first)
    select(folder, folder.with_name(f"{folder.name}-selection"))
    return folder


def select(raw: Path, folder: Path) -> None:
    """Select the clips of a raw folder: all of them."""
    settings = {**SHARED, "reader": {"grid": {"seconds": None}}, "media": ["audio", "visual"]}
    settings |= {"val_fraction": 0.2, "seed": 0, "drop_duplicates": False}
    select_clips.publish_selection({"settings": settings, "inputs": {"raw": str(raw)}}, folder, folder.parent)


def make_recipe(raw: Path, modality: str, view: dict[str, Any]) -> dict[str, Any]:
    """Whole sentences in one modality; the selection lies beside the raw folder."""
    settings = {**SHARED, "modality": modality, "view": view, "clip_seconds": None, "windows": {}, "max_seconds": 600.0}
    inputs = {"raw": str(raw), "selection": f"{raw}-selection"}
    return {"step": "media", "name": modality, "settings": settings, "inputs": inputs, "code": ""}


def clocked(function: Callable[..., Any], total: list[float]) -> Callable[..., Any]:
    """The function, with its seconds added up."""

    def call(*arguments: Any) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            total[0] += time.perf_counter() - start

    return call


def measure(folder: Path, raw: Path, workers: int) -> tuple[float, float]:
    """Seconds of both modalities, each in a fresh process, and the peak MiB of the largest process."""
    seconds, peak = 0.0, 0.0
    for modality, view in VIEWS.items():
        (folder / "recipe.json").write_text(json.dumps(make_recipe(raw, modality, view)), encoding="utf-8")
        step = [sys.executable, "-m", "avbalance.prepare.media", "--recipe", "recipe.json", "--out", "prep"]
        used = run_command([*step, "--threads", str(workers)], folder)
        shutil.rmtree(folder / "prep")
        seconds, peak = seconds + used.seconds, max(peak, used.peak_bytes / MIB)
    return seconds, peak


def measure_anew(folder: Path, raw: Path, workers: int) -> tuple[float, float]:
    """The same without finished shards."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    return measure(folder, raw, workers)


def row(what: str, clips: int, seconds: float, faster: float, peak: float) -> list[str]:
    rates = f"{clips / seconds:,.0f}", f"{clips * CLIP_SECONDS / seconds:,.0f}"
    return [what, f"{seconds:.1f}", *rates, f"{faster:.2f}", f"{peak:,.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, help="how many of the 1,000 clips")
    parser.add_argument("--rounds", type=int, default=3, help="of one worker and one a core, in turn")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where 3 GB may be written")
    arguments = parser.parse_args()
    count, cores = arguments.clips, len(os.sched_getaffinity(0))
    print_conditions(clips=count, seconds_of_media=round(count * CLIP_SECONDS))
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder.resolve()) as temporary:
        folder = Path(temporary)
        whole, changed = make_raw(folder / "whole", count), make_raw(folder / "changed", count, changed=True)
        tenth, few = make_raw(folder / "tenth", count // 10), make_raw(folder / "few", FEW)
        turns = [[measure_anew(folder, whole, workers) for workers in (1, cores)] for _ in range(arguments.rounds)]
        alone, side_by_side = ([turn[place] for turn in turns] for place in (0, 1))
        gain = median(one[0] / both[0] for one, both in turns)
        for what, used, faster in (("1 worker", alone, 1.0), (f"{cores} workers", side_by_side, gain)):
            rows.append(row(what, count, median(seconds for seconds, _ in used), faster, max(peak for _, peak in used)))
        for what, clips, raw, workers, again in (
            (f"{cores} workers, one clip changed since", count, changed, cores, True),
            (f"{cores} workers, a tenth of the clips", count // 10, tenth, cores, False),
            (f"{cores} workers, {FEW} clips", FEW, few, cores, False),
            (f"1 worker, {FEW} clips", FEW, few, 1, False),
        ):
            seconds, peak = (measure if again else measure_anew)(folder, raw, workers)
            rows.append(row(what, clips, seconds, median(used for used, _ in alone) / seconds, peak))
        columns = ["all frames and sound", "s", "clips/s", "media s / s", "1 worker / this", "largest process, MiB"]
        print_table(columns, rows)

        decoding = [0.0]
        for name in ("inspect", "read_frames", "read_audio"):
            setattr(windows, name, clocked(getattr(windows, name), decoding))
        rows = []
        for what, frames in (("gray, 64 x 64", OWN), ("every pixel", EVERY_PIXEL)):
            decoding[0], start = 0.0, time.perf_counter()
            for modality, view in (VIEWS | {"visual": {"frames": frames}}).items():
                media.prepare(make_recipe(whole, modality, view), folder / "prep" / modality, 1, resume=folder / what)
            seconds = time.perf_counter() - start
            rows.append([what, f"{seconds:.1f}", f"{decoding[0]:.1f}", f"{1 - decoding[0] / seconds:.0%}"])
        print_table(["one worker, start-up apart", "s", "codec, s", "outside the codec"], rows)


if __name__ == "__main__":
    main()
