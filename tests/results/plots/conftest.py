import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import ArrayLike

from avbalance import store
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.style import STYLE

PublishRow = Callable[..., FigureRow]
LOGITS = ("test_logits", "test_masked_audio", "test_masked_visual", "test_probe_audio", "test_probe_visual")


@pytest.fixture
def publish_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishRow:
    """Publishes the runs of a row, as training would; the current folder is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def publish(
        label: str,
        *seeds: Mapping[str, ArrayLike],
        history: Mapping[str, list[float]] | None = None,
        norms: Mapping[str, ArrayLike] | None = None,
        data: str = "demo",
        num_classes: int = 3,
        metrics: Mapping[str, float] | None = None,
        **settings: object,
    ) -> FigureRow:
        """`seeds`: {array: values} of each seed's predictions, logits as the classes said; without any, it failed.

        Probes, if a seed has logits `test_probe_...`, are an artifact of their own.
        """
        entries = []
        for seed, predictions in enumerate(seeds):
            folder = Path(f"results/runs/{label}-s{seed}")
            entries.append({"seed": seed, "run": str(folder), "probe": None, "alone": {}})
            if not predictions:
                continue
            arrays = {
                name: np.eye(num_classes)[np.asarray(values)] if name in LOGITS else np.asarray(values)
                for name, values in predictions.items()
            }
            probes = {name: arrays.pop(name) for name in list(arrays) if name.startswith("test_probe_")}
            if probes:
                probe = Path(f"results/probes/{label}-s{seed}")
                entries[-1]["probe"] = str(probe)
                with store.publish(probe, {"step": "probe", "settings": {"dataset": data}, "inputs": {}}) as out:
                    np.savez(out / "predictions.npz", test_label=arrays["test_label"], **probes)
                    (out / "metrics.json").write_text("{}", encoding="utf-8")
            inputs = {f"data_{modality}": f"results/prep/{data}" for modality in ("audio", "visual")}
            recipe = {
                "step": "train",
                "settings": {"dataset": data, "encoder": {"audio": {}, "visual": {}}, **settings},
            }
            with store.publish(folder, {**recipe, "inputs": inputs}) as out:
                np.savez(out / "predictions.npz", **arrays)
                (out / "metrics.json").write_text(
                    json.dumps({"best_epoch": 2, "train_seconds": 60.0, **(metrics or {})}), encoding="utf-8"
                )
                if history is not None:
                    epochs = zip(*history.values(), strict=True)
                    lines = [",".join(map(str, line)) for line in (history, *epochs)]
                    (out / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
                if norms is not None:
                    np.savez(out / "weight_norms.npz", **norms)
        return FigureRow(label, entries)

    return publish


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    """The style that the step sets."""
    with mpl.rc_context(STYLE):
        yield
