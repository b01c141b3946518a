"""How can training be balanced? Balancers by name: `name: module:Class`."""

REGISTRY = {
    "auxiliary_branch": "auxiliary_branch:AuxiliaryBranch",
    "g_blend": "g_blend:GBlend",
    "g_blend_online": "g_blend_online:GBlendOnline",
    "joint": "base:Balancer",
    "modality_dropout": "modality_dropout:ModalityDropout",
    "ogm": "ogm:OGM",
    "ogm_ge": "ogm_ge:OGMGE",
}
