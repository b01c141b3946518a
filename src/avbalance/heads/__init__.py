"""How do features become logits? Heads by name: `name: module:Class`."""

REGISTRY = {
    "cosine": "cosine:Cosine",
    "dropout": "dropout:Dropout",
    "linear": "linear:Linear",
    "mlp": "mlp:MLP",
    "two_layer": "two_layer:TwoLayer",
}
