"""Cost of raw files: long lists of checksums, archives that are read in place, and many small files.

    planning     `snakemake -n` of G-Blend's table 7 at scale paper, with a made-up list of so many clips of AudioSet
    archives     GRID's talking faces (AVBALANCE_MIRROR names the folder that holds grid_s1) in a tar, a tar.gz and a
                 zip: time to make the raw folder, its files and bytes, and time to inspect and decode every clip from
                 it, cold for this process; "unpacked" is the same raw folder made of single files, as before
    loose files  a raw folder of so many small files from a mirror on the same disk, made, made again, and listed

Figures of archives and loose files are of one process each.
"""

import argparse
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from measure import copy_project, print_conditions, print_table, run_command

from avbalance import cli, store
from avbalance.data.raw import RawFiles
from avbalance.prepare.decode import read_frames
from avbalance.prepare.download import download
from avbalance.prepare.inspection import inspect_media

SNAKEMAKE = ["snakemake", "-n", "-q", "--cores", "1", "--config", "scale=paper", "tables=[gblend_table7]"]


def write_list(path: Path, names: Iterator[str]) -> None:
    """A list of checksums; each is the sha256 of the name."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names)


def measure_planning(folder: Path, sizes: list[int]) -> None:
    """Print what planning takes by the length of a list."""
    rows = []
    for size in sizes:
        project = folder / "project"
        copy_project(project)
        lists = project / "config" / "datasets"
        write_list(lists / "audioset_lists.sha256", iter(["csv/eval_segments.csv"]))
        write_list(lists / "audioset.sha256", (f"{number:011x}_{number % 600:06d}.mp4" for number in range(size)))
        (project / "mirror/audioset/clips").mkdir(parents=True)
        usage = run_command([*SNAKEMAKE, "mirror=mirror"], project)
        cpu_seconds = usage.user_seconds + usage.system_seconds
        rows.append((f"{size:,}", f"{usage.seconds:.1f}", f"{cpu_seconds:.1f}", f"{usage.peak_bytes / 2**20:,.0f}"))
        shutil.rmtree(project)
    print_table(["listed clips", "seconds", "CPU seconds", "peak MiB"], rows)


def pack(kind: str, clips: list[Path], target: Path) -> None:
    """Pack clips into an archive."""
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for clip in clips:
                archive.writestr(clip.name, clip.read_bytes())
        return
    with tarfile.open(target, "w:gz" if kind == "tar.gz" else "w") as archive:
        for clip in clips:
            archive.add(clip, clip.name)


def recipe_of(entry: dict[str, object]) -> dict[str, object]:
    return {"step": "download", "settings": {"files": [{"urls": [], **entry}]}}


def decode(raw: RawFiles) -> float:
    """CPU seconds to inspect every clip and decode its middle picture."""
    start = time.process_time()
    for name in raw.matching("**/*.mp4"):
        media = inspect_media(raw.locate(name))
        read_frames(media, media.frame_seconds[[len(media.frame_seconds) // 2]])
    return time.process_time() - start


def measure_archives(folder: Path, num_clips: int) -> None:
    """Print what archives take that are read in place."""
    rows = []
    with tarfile.open(Path(os.environ["AVBALANCE_MIRROR"]) / "grid_s1/clips.tar") as archive:
        archive.extractall(folder / "single", filter="data")
    clips = sorted((folder / "single").rglob("*.mp4"))[:num_clips]
    for kind in ("unpacked", "tar", "zip", "tar.gz"):
        mirror = folder / kind
        mirror.mkdir()
        if kind == "unpacked":
            lines = (f"{store.sha256(clip)}  {clip.name}\n" for clip in clips)
            (folder / "list.sha256").write_text("".join(lines), encoding="utf-8")
            listed = {"path": str(folder / "list.sha256"), "sha256": store.sha256(folder / "list.sha256")}
            entry: dict[str, object] = {"list": listed}
            for clip in clips:
                shutil.copyfile(clip, mirror / clip.name)
        else:
            file = mirror / f"clips.{kind}"
            pack(kind, clips, file)
            entry = {"path": file.name, "sha256": store.sha256(file), "unpack": True}
        start = time.process_time()
        download(recipe_of(entry), folder / f"raw/{kind}.0", str(mirror), folder / "cache")
        made = time.process_time() - start
        raw = RawFiles(folder / f"raw/{kind}.0")
        files = [path for path in raw.folder.rglob("*") if path.is_file()]
        new = sum(path.stat().st_size for path in files if path.stat().st_nlink == 1) / 2**20
        rows.append((kind, f"{len(files):,}", f"{new:.1f}", f"{made:.1f}", f"{decode(raw):.1f}"))
    header = [
        "raw folder",
        "files",
        "new MiB on disk",
        "CPU seconds to make it",
        f"CPU seconds to read {len(clips):,} clips",
    ]
    print_table(header, rows)


def measure_loose(folder: Path, sizes: list[int]) -> None:
    """Print what many small files take."""
    rows = []
    for size in sizes:
        mirror, lists = folder / f"mirror-{size}", folder / f"{size}.sha256"
        for number in range(size):
            file = mirror / f"{number // 1000}" / f"{number}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number // 1000}/{number}.mp4", encoding="utf-8")
        write_list(lists, (f"{number // 1000}/{number}.mp4" for number in range(size)))
        entry: dict[str, object] = {"list": {"path": str(lists), "sha256": store.sha256(lists)}}
        seconds = []
        for _ in range(2):
            start = time.process_time()
            download(recipe_of(entry), folder / f"loose/{size}.0", str(mirror), folder / "cache")
            seconds.append(time.process_time() - start)
        start = time.process_time()
        store.read_manifest(folder / f"loose/{size}.0")
        num_listed = sum(1 for _ in RawFiles(folder / f"loose/{size}.0").checksums.items())
        listing = time.process_time() - start
        assert num_listed == size
        listed = sum(file.stat().st_size for file in (folder / f"loose/{size}.0").glob("*.*") if file.is_file()) / 2**20
        rows.append((f"{size:,}", *(f"{each:.1f}" for each in seconds), f"{listing:.1f}", f"{listed:.1f}"))
        shutil.rmtree(mirror)
        shutil.rmtree(folder / "loose")
    print_table(["files", "CPU seconds to make", "again", "to list", "MiB of manifest and index"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listed", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000, 1_800_000])
    parser.add_argument("--loose", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--clips", type=int, default=1000, help="0 for no archives")
    arguments = parser.parse_args()
    print_conditions(listed=arguments.listed, clips=arguments.clips, loose=arguments.loose)
    os.environ["AVBALANCE_MIRROR"] = os.path.abspath(os.environ.get("AVBALANCE_MIRROR", ""))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # where the steps leave their notes
        if arguments.listed:
            measure_planning(folder, arguments.listed)
        if arguments.clips:
            measure_archives(folder, arguments.clips)
        if arguments.loose:
            measure_loose(folder, arguments.loose)


if __name__ == "__main__":
    cli.run(main)
