"""Where is the face? Detectors by name: `name: module:Class`."""

REGISTRY = {
    "given": "given:Given",
    "retinaface": "retinaface:RetinaFace",
    "yunet": "yunet:YuNet",
}
