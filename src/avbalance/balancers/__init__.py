"""Balancers by name: `name: module:Class`."""

REGISTRY = {
    "joint": "base:Balancer",
    "modality_dropout": "modality_dropout:ModalityDropout",
    "ogm_ge": "ogm_ge:OGMGE",
}
