"""Heads by name: `name: module:Class`."""

REGISTRY = {
    "cosine": "cosine:Cosine",
    "linear": "linear:Linear",
    "mlp": "mlp:MLP",
}
