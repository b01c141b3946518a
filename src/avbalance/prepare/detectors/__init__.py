"""Where is the face? Detectors by name: `name: module:Class`."""

REGISTRY = {
    "given": "given:Given",
    "retinaface_mobilenet": "retinaface_mobilenet:RetinaFaceMobileNet",
    "retinaface_resnet50": "retinaface_resnet50:RetinaFaceResNet50",
    "yunet": "yunet:YuNet",
}
