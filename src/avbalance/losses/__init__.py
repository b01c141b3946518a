"""What is minimised? Losses by name: `name: module:Class`."""

REGISTRY = {
    "joint": "joint:Joint",
    "uncertainty": "uncertainty:Uncertainty",
    "unimodal": "unimodal:Unimodal",
}
