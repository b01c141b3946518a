"""How are the features of modalities combined? Fusions by name: `name: module:Class`."""

REGISTRY = {
    "addition": "addition:Addition",
    "attention": "attention:Attention",
    "bilinear": "bilinear:Bilinear",
    "concat": "concat:Concat",
    "factorised_bilinear": "factorised_bilinear:FactorisedBilinear",
    "film": "film:FiLM",
    "gated": "gated:Gated",
    "gated_units": "gated_units:GatedUnits",
    "low_rank": "low_rank:LowRank",
    "maximum": "maximum:Maximum",
    "mid_concat": "mid_concat:MidConcat",
    "mmtm": "mmtm:MMTM",
    "multiplication": "multiplication:Multiplication",
    "nl_gate": "nl_gate:NLGate",
    "se_gate": "se_gate:SEGate",
}
