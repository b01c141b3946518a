"""Which array does a modality of a clip become? Views by name: `name: module:Class`."""

REGISTRY = {
    "frames": "frames:Frames",
    "faces": "faces:Faces",
    "flow": "flow:Flow",
    "waveform": "waveform:Waveform",
    "log_power": "log_power:LogPower",
    "log_mel": "log_mel:LogMel",
    "filter_bank": "filter_bank:FilterBank",
}
