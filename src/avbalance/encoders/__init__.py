"""Encoders by name: `name: module:Class`."""

REGISTRY = {
    "conv1net": "conv1net:Conv1Net",
    "conv2net": "conv2net:Conv2Net",
    "resnet18": "resnet18:ResNet18",
}
