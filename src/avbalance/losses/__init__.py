"""Losses by name: `name: module:Class`."""

REGISTRY = {
    "joint": "joint:Joint",
    "unimodal": "unimodal:Unimodal",
}
