"""Which part of a layer's features does a probe see? Reductions by name: `name: module:Class`."""

REGISTRY = {
    "full": "full:Full",
    "mean": "mean:Mean",
    "projection": "projection:Projection",
    "subset": "subset:Subset",
}
