"""Steps that turn runs into tables, figures and the page; formulas by name: `name: module:function`."""

REGISTRY = {
    "contrastive_factors": "computed:contrastive_factors",
    "inception_counts": "shapes:inception_counts",
    "inception_features": "shapes:inception_features",
}
