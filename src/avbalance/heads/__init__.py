"""How do features become logits? Heads by name: `name: module:Class`."""

REGISTRY = {
    "boosted": "boosted:Boosted",
    "confidence": "confidence:Confidence",
    "cosine": "cosine:Cosine",
    "dropout": "dropout:Dropout",
    "linear": "linear:Linear",
    "mlp": "mlp:MLP",
    "shared": "shared:Shared",
    "two_layer": "two_layer:TwoLayer",
}
