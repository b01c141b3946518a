"""Registry of face detectors: `name: module:Class`."""

REGISTRY = {
    "given": "given:Given",
    "retinaface": "retinaface:RetinaFace",
    "yunet": "yunet:YuNet",
}
