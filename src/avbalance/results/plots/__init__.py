"""Kinds of figures by name: `name: module:class`. One file each."""

REGISTRY = {
    "angles": "angles:Angles",
    "balance": "balance:Balance",
    "blend": "blend:Blend",
    "classes": "classes:Classes",
    "confusion": "confusion:Confusion",
    "curves": "curves:Curves",
    "depth": "depth:Depth",
    "errors": "errors:Errors",
    "gains": "gains:Gains",
    "samples": "samples:Samples",
    "sensitivity": "sensitivity:Sensitivity",
}
