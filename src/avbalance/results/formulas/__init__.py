"""What follows without any run? Formulas of computed tables by name: `name: module:function`."""

REGISTRY = {
    "contrastive_factors": "contrastive:contrastive_factors",
    "inception_counts": "inception:inception_counts",
    "inception_features": "inception:inception_features",
}
