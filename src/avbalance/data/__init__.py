"""Dataset readers and miniature generators by name: `name: module:Class`."""

REGISTRY = {
    "avmnist": "avmnist:AVMNIST",
    "avmnist_miniature": "avmnist_miniature:AVMNISTMiniature",
}
