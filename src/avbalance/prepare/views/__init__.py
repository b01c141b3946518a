"""Registry of views, which turn one modality of a clip into an array: `name: module:Class`."""

REGISTRY = {
    "frames": "frames:Frames",
    "faces": "faces:Faces",
    "flow": "flow:Flow",
    "waveform": "waveform:Waveform",
    "log_power": "log_power:LogPower",
    "log_mel": "log_mel:LogMel",
    "filter_bank": "filter_bank:FilterBank",
}
