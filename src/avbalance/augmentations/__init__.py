"""How are training pictures varied? Augmentations by name: `name: module:Class`."""

REGISTRY = {
    "random_resized_crop": "random_resized_crop:RandomResizedCrop",
    "scale_jitter": "scale_jitter:ScaleJitter",
}
