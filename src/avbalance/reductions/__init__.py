"""What a probe takes of a layer's features, by name: `name: module:Class`."""

REGISTRY = {
    "full": "full:Full",
    "mean": "mean:Mean",
    "projection": "projection:Projection",
    "subset": "subset:Subset",
}
