"""What a scale changes of a row besides its methods: moments that its short trainings reach, and starts that it has."""

from avbalance.configuration.schema import Scale
from avbalance.configuration.table_schema import Row


def scale(row: Row, chosen: Scale) -> None:
    """Put a scale's moments and starts in the place of a row's own, as `Scale` and `ScaleDataset` say."""
    own = chosen.datasets.get(row.dataset)
    moments = own.moments if own is not None else {}
    if "moments" in row.training:
        row.training = {**row.training, "moments": [moments.get(moment, moment) for moment in row.training["moments"]]}
    if row.probe is not None and row.probe.moment is not None:
        row.probe.moment = moments.get(row.probe.moment, row.probe.moment)
    if isinstance(row.pretrained, dict):
        row.pretrained = {modality: chosen.starts.get(start, start) for modality, start in row.pretrained.items()}
