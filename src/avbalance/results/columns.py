"""What each column of a table is.

Clip and video are different things: `accuracy` is a clip's, `video_accuracy` (V@1) that of the mean softmax of a
video's clips. `map` and `mauc`, where a clip has several classes, are of videos (see `metrics.by_video`). Columns of
verification may end in the name of a list of trials, `eer_<list>`; without one they are of all lists together.

The three uni-modal accuracies have fixed names: `alone`, a model trained on that modality only; `masked`, the
joint model's share of the logits that is this modality's; `probe`, a linear probe on the joint model's frozen
encoder.

A gap is the best modality's accuracy minus the worst one's. `shapley_<modality>` is what a modality contributes to the
joint model's accuracy; over all modalities it sums to that accuracy less that of guessing.

How a run was trained (`curves.py`): accuracy and loss on train, the kept epoch, growth of weight norms, angles.

`best_test_<column>` is what papers report: the best value over a run's epochs, chosen on the test set. `weight_<head>`
and `ogr_<head>` are of a modality's head or of `joint`, as a blend had them in the last epoch. A blend without a head
that generalises has equal weights instead: `fallback` is how often, and these are no `weight_<head>`.
"""

import re
from typing import NamedTuple

from avbalance.errors import UserError
from avbalance.results import curves, layers

HEADINGS = {
    "f_xent": "f_Xent",
    "f_log": "f_Log",
    "f_xent_less_f_log": "f_Xent − f_Log",
    "nt_xent": "NT-Xent",
    "nt_log": "NT-Log",
}
COUNTS = {"channels", "height", "width", "features", "probes"}
UNIMODAL = re.compile(r"(acc|map)_(\w+)_(alone|masked|probe)")
SHAPLEY = re.compile(r"shapley_(\w+)")
VERIFICATION = re.compile(r"(eer|min_dcf|min_dcf05)(?:_(\w+))?")
BEST_TEST = re.compile(r"best_test_(accuracy|video_accuracy|map|mauc|(?:eer|min_dcf)_\w+)")
OF_A_HEAD = re.compile(r"(weight|ogr)_(\w+)")
P_TARGET = {"min_dcf": 0.01, "min_dcf05": 0.05}
"""Both prior probabilities of a target are in use."""


class Column(NamedTuple):
    """How a column is shown.

    Attributes:
        better: +1 where higher is better, -1 where lower is, 0 where neither is.
    """

    name: str
    heading: str
    unit: str
    digits: int
    better: int


PLAIN = {
    column.name: column
    for column in (
        Column("accuracy", "Test accuracy", "%", 1, 1),
        Column("top5", "Test top-5 accuracy", "%", 1, 1),
        Column("video_accuracy", "Video accuracy", "%", 1, 1),
        Column("video_top5", "Video top-5 accuracy", "%", 1, 1),
        Column("map", "Test mAP", "%", 1, 1),
        Column("mauc", "Test mAUC", "%", 1, 1),
        Column("error", "Test error", "%", 2, -1),
        Column("loss", "Test loss", "nats", 3, -1),
        Column("alone_gap", "Alone gap", "points", 1, 0),
        Column("masked_gap", "Masked gap", "points", 1, -1),
        Column("probe_gap", "Probe gap", "points", 1, -1),
        Column("train_seconds", "Training, one run", "s", 0, 0),
        Column("peak_memory", "Peak memory", "MiB", 0, 0),
        Column("gflops", "GFLOPs (multiply-adds)", "", 2, 0),
        Column("parameters", "Parameters", "millions", 2, 0),
        Column("fallback", "Fallback to equal weights", "%", 0, 0),
    )
}


def describe(name: str) -> Column:
    """A measured column by name."""
    if name in PLAIN:
        return PLAIN[name]
    for named in (layers.COLUMNS, curves.COLUMNS):
        if name in named:
            return Column(name, *named[name])
    if match := curves.OF_A_STREAM.fullmatch(name):
        heading, unit, digits, better = curves.HEADINGS[match[1]]
        return Column(name, heading.format(match[2]).capitalize(), unit, digits, better)
    if match := UNIMODAL.fullmatch(name):
        measure, modality, kind = match.groups()
        return Column(name, f"{modality.capitalize()} {kind}{' mAP' * (measure == 'map')}", "%", 1, 1)
    if match := SHAPLEY.fullmatch(name):
        return Column(name, f"{match[1].capitalize()} contributes", "points", 1, 0)
    if match := VERIFICATION.fullmatch(name):
        measure, listed = match.groups()
        of = f"{listed} " if listed else ""
        if measure == "eer":
            return Column(name, f"{of}EER", "%", 2, -1)
        return Column(name, f"{of}minDCF (p = {P_TARGET[measure]})", "", 3, -1)
    if match := BEST_TEST.fullmatch(name):
        plain = describe(match[1])
        return plain._replace(name=name, heading=f"{plain.heading}, best test epoch")
    if match := OF_A_HEAD.fullmatch(name):
        what, head = match.groups()
        return Column(name, f"{head.capitalize()} {'OGR' if what == 'ogr' else what}", "", 3, 0)
    raise UserError(
        f"column {name!r} does not exist; allowed: {', '.join(PLAIN)}; acc_<modality>_ or map_<modality>_ followed by "
        f"alone, masked or probe; shapley_<modality>; eer, {' or '.join(P_TARGET)}, also with _<list of trials>; "
        "best_test_ followed by accuracy, map, mauc, eer_<list> or min_dcf_<list>; weight_ or ogr_ followed by a head; "
        f"{', '.join(curves.COLUMNS)}; {', '.join(f'{what}_<stream>' for what in curves.HEADINGS)}"
    )


def computed(name: str) -> Column:
    """A column of a computed table."""
    return Column(name, HEADINGS.get(name, name), "", 0 if name in COUNTS else 3, 0)
