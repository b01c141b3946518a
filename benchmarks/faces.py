"""Distance of RetinaFace's landmarks from YuNet's, and the cost of a frame.

Agreement is measured on photos and on talking faces of GRID, five frames a clip (AVBALANCE_MIRROR names the folder that
holds images and video): the mean distance of the five landmarks, as a share of the width of YuNet's box. The cost is
the CPU time of one thread, for frames of several sizes with one face, in batches of one and of four. The ResNet-50 has
random weights, which cost as much.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import av
import cv2
import numpy as np
import torch
from measure import print_conditions, print_table
from numpy.typing import NDArray
from PIL import Image
from retinaface.model import retinaface_pth_model

from avbalance.configuration.project import read_project
from avbalance.planning.artifacts import Plan
from avbalance.planning.data import model_of
from avbalance.prepare.detectors.base import Detector, Face
from avbalance.prepare.detectors.retinaface_mobilenet import RetinaFaceMobileNet
from avbalance.prepare.detectors.retinaface_resnet50 import WEIGHTS, RetinaFaceResNet50
from avbalance.prepare.detectors.yunet import YuNet
from avbalance.prepare.download import download
from avbalance.prepare.pictures import Pictures

Frames = NDArray[np.uint8]
SIZES = {"224 x 224": (224, 224), "480 x 360": (480, 360), "1024 x 768": (1024, 768)}
BATCHES = (1, 4)


def read_picture(path: Path) -> Frames:
    """Pixels of a photo, [height, width, 3]."""
    return np.asarray(Image.open(path).convert("RGB"))


def detect(detector: Detector, frames: Frames) -> list[list[Face]]:
    return detector.detect(Pictures(frames, np.arange(len(frames)) / 25))


def distance(face: Face, reference: dict[str, Any]) -> float:
    landmarks = np.array(list(reference["landmarks"].values()))
    return float(np.linalg.norm(face.landmarks - landmarks, axis=1).mean()) / float(reference["box"][2])


def samples(mirror: Path) -> list[tuple[str, Frames, list[list[dict[str, Any]]]]]:
    """Each a kind, frames [n, height, width, 3], and YuNet's faces in each frame."""
    photos = json.loads((mirror / "images/landmarks.json").read_text(encoding="utf-8"))["images"]
    found = [
        (
            "photos",
            read_picture(mirror / "images" / name)[None],
            [about["faces_at_640"]],
        )
        for name, about in photos.items()
    ]
    clips = json.loads((mirror / "video/clips.json").read_text(encoding="utf-8"))["clips"]
    for name, about in clips.items():
        if name.startswith("grid"):
            with av.open(mirror / "video" / name) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            found.append(("GRID", np.stack([frames[int(i)] for i in about["faces"]]), list(about["faces"].values())))
    return found


def agreement(detector: Detector, mirror: Path) -> list[list[str]]:
    rows = []
    of_kind: dict[str, list[float]] = {}
    number: dict[str, int] = {}
    for kind, frames, reference in samples(mirror):
        for faces, expected in zip(detect(detector, frames), reference, strict=True):
            number[kind] = number.get(kind, 0) + len(faces)
            of_kind.setdefault(kind, []).extend(min(distance(face, each) for face in faces) for each in expected)
    for kind, distances in of_kind.items():
        texts = [f"{value:.3f}" for value in (mean(distances), median(distances), max(distances))]
        rows.append([kind, f"{number[kind]} of {len(distances)}", *texts])
    return rows


def milliseconds(detector: Detector, frames: Frames, rounds: int) -> float:
    """CPU time of a frame."""
    detect(detector, frames)
    start = time.process_time()
    for _ in range(rounds):
        detect(detector, frames)
    return 1000 * (time.process_time() - start) / (rounds * len(frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of 8 frames; the ResNet-50 sees 2 frames once")
    arguments = parser.parse_args()
    mirror = Path(os.environ["AVBALANCE_MIRROR"])
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print_conditions(rounds=arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        mobilenet = Path(folder, "mobilenet")
        recipe = model_of(Plan(read_project(Path(), {})), "retinaface_mobilenet").recipe
        download(recipe, mobilenet, str(mirror), Path(folder, "cache"))
        columns = ["MobileNet and YuNet", "faces", "mean distance / width", "median", "largest"]
        print_table(columns, agreement(RetinaFaceMobileNet(mobilenet), mirror))

        resnet50 = Path(folder, "resnet50")
        (resnet50 / WEIGHTS).parent.mkdir(parents=True)
        torch.save(retinaface_pth_model.RetinaFace().state_dict(), resnet50 / WEIGHTS)
        photo = read_picture(mirror / "images/astronaut.png")
        rows = []
        for name, size in SIZES.items():
            frames = np.stack([cv2.resize(photo, size)] * 8).astype(np.uint8)
            costs = [milliseconds(YuNet(mirror), frames, arguments.rounds)]
            costs += [
                milliseconds(RetinaFaceMobileNet(mobilenet, batch_size=size), frames, arguments.rounds)
                for size in BATCHES
            ]
            costs.append(milliseconds(RetinaFaceResNet50(resnet50), frames[:2], 1))
            rows.append([name, *(f"{cost:,.1f}" for cost in costs), f"{1000 / costs[2]:,.0f}"])
        columns = ["CPU ms a frame", "YuNet", *(f"MobileNet, batches of {size}" for size in BATCHES), "ResNet-50"]
        print_table([*columns, "MobileNet, frames/s a core"], rows)


if __name__ == "__main__":
    main()
