"""Fusions by name: `name: module:Class`."""

REGISTRY = {
    "addition": "addition:Addition",
    "attention": "attention:Attention",
    "bilinear": "bilinear:Bilinear",
    "concat": "concat:Concat",
    "factorised_bilinear": "factorised_bilinear:FactorisedBilinear",
    "film": "film:FiLM",
    "gated": "gated:Gated",
    "gated_units": "gated_units:GatedUnits",
    "maximum": "maximum:Maximum",
    "multiplication": "multiplication:Multiplication",
}
