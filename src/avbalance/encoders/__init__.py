"""How does a modality become features? Encoders by name: `name: module:Class`."""

REGISTRY = {
    "conv1net": "conv1net:Conv1Net",
    "conv2net": "conv2net:Conv2Net",
    "identity": "identity:Identity",
    "inception_v3": "inception_v3:InceptionV3",
    "ip_csn": "ip_csn:IPCSN",
    "mlp": "mlp:MLP",
    "mnist_convnet": "mnist_convnet:MNISTConvNet",
    "r2plus1d": "r2plus1d:R2Plus1D",
    "r3d": "r3d:R3D",
    "resnet18": "resnet:ResNet18",
    "resnet34": "resnet:ResNet34",
    "resnet50": "resnet:ResNet50",
    "resnet101": "resnet:ResNet101",
    "resnet152": "resnet:ResNet152",
    "skip_mlp": "skip_mlp:SkipMLP",
    "timm": "timm:Timm",
}
