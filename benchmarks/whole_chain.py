"""Scale `paper` from official archives to tables, with stand-ins for data that cannot be had.

The script writes small copies of CREMA-D, VoxCeleb, Kinetics-400, SSW60, UCF-101, EPIC-Kitchens and AVE in their
official layouts (tests/official.py), and a copy of this project with a scale `chain`: networks and preparations of
`paper`, but narrow ResNet3Ds; one epoch, one seed, one trial, batches of eight, a few rows of large tables. It prints
the command that makes ten tables of these datasets from them. The numbers in these tables mean nothing. On a cluster,
FOLDER has to be on the file system that all nodes share; cluster.py runs the command on a Slurm of this machine.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml
from measure import ROOT, copy_project

sys.path.insert(0, str(ROOT / "tests"))

import official

SCALE = "chain"
ROWS = ["joint", "ensemble", "unimodal", "ogm_ge", "g_blend"]
TABLES = {
    "mmcosine_table1": None,
    "mmcosine_table2": None,
    "mmcosine_table3": None,
    "gblend_table1": ["rgb", "flow", "audio_rgb"],
    "gblend_table3": None,
    "gblend_table8": ["verb_rgb", "verb_naive"],
    "balance_ave": ROWS,
    "balance_cremad": ROWS,
    "balance_kinetics_sounds": ROWS,
    "balance_ucf101": ROWS,
}
"""{table: its rows; None for all}"""
SIZES = {
    "ave": official.Size(4, 4, 1),
    "epic_kitchens_verb": official.Size(4, 8, 2, 4.0),
    "kinetics400": official.Size(4, 8, 1),
    "ssw60": official.Size(4, 8, 1),
    "ucf101": official.Size(4, 4, 1, 6.0),
    "voxceleb": official.Size(2, 30, 4),
}
FEW = {"epochs": 1, "patience": 1, "batch_size": 8}
NARROW = {"r3d": {"width": 8}}
"""Options of encoders: a ResNet3D-50 of full width takes 16 GB for eight clips, and minutes a step on a CPU."""
LONG = ("kinetics400_32", "epic_kitchens_noun", "epic_kitchens_verb")
"""Datasets with clips of 32 frames, eight of which take 19 GB on a CPU."""


def shortened(scale: dict[str, Any], small: dict[str, Any]) -> dict[str, Any]:
    """Scale `paper` for one epoch; options of balancers that count epochs are those of scale `miniature`."""
    scale["training"] |= FEW
    for name, dataset in scale["datasets"].items():
        if "training" in dataset:  # an alias stands for a mapping that others share
            dataset["training"] = dataset["training"] | FEW | ({"batch_size": 2} if name in LONG else {})
        dataset.pop("methods", None)
    del scale["seeds_of"]
    methods = {"encoder": NARROW, "balancer": small["methods"]["balancer"]}
    return scale | {"tables": list(TABLES), "trials": 1, "methods": methods}


def write_project(folder: Path) -> None:
    """Copy the project, and add the scale."""
    copy_project(folder)
    scales = folder / "config" / "scales"
    paper, small = (
        yaml.safe_load((scales / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("paper", "miniature")
    )
    (scales / f"{SCALE}.yaml").write_text(yaml.safe_dump(shortened(paper, small), sort_keys=False), encoding="utf-8")
    for table, rows in TABLES.items():
        file = folder / "config" / "tables" / f"{table}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if rows is not None:
            content["part"] = {**content.get("part", {}), SCALE: rows}
            file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new folder for the copies and the project")
    parser.add_argument("--mirror", type=Path, required=True, help="folder with GRID and the lists")
    parser.add_argument("--profile", help="such as workflow/profiles/slurm; without it, all cores of this machine")
    arguments = parser.parse_args()
    folder, mirror = arguments.folder.resolve(), arguments.mirror.resolve()
    copies, project = folder / "copies", folder / "project"
    copies.mkdir(parents=True)
    official.cremad(mirror, copies, 8, 2)
    for name, size in SIZES.items():
        print(f"writing {name}", file=sys.stderr, flush=True)
        official.COPIES[name](mirror, copies, size)
    write_project(project)
    how = ["--profile", arguments.profile] if arguments.profile else ["--cores", "all"]
    command = ["snakemake", *how, "--config", f"scale={SCALE}", "copy=own", f"mirror={copies}"]
    print(f"cd {shlex.quote(str(project))} && {shlex.join(command)}")


if __name__ == "__main__":
    main()
