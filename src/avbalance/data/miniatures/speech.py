"""Speech from espeak-ng, by way of its C library."""

import ctypes
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

# From espeak-ng/speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS, INITIALIZE_DONT_EXIT, POSITION_CHARACTER, CHARS_UTF8 = 2, 0x8000, 1, 1
RATE, PITCH = 1, 3
SYNTHESIS_RATE = 22050


def speak(takes: list[tuple[str, str, int, int]]) -> list[NDArray[np.int16]]:
    """Say each (voice, word, words per minute, pitch 0-100); samples [n] at 22,050 Hz."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, INITIALIZE_DONT_EXIT)
    if rate != SYNTHESIS_RATE:
        raise RuntimeError(f"espeak-ng did not start (espeak_Initialize returned {rate})")
    spoken: list[NDArray[np.int16]] = []

    def collect(samples: Any, num_samples: int, _events: int) -> int:  # noqa: ANN401
        if samples and num_samples:
            spoken.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    callback = signature(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(1)
    waves = []
    for voice, word, words_per_minute, pitch in takes:
        spoken.clear()
        text = word.encode()
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        library.espeak_SetParameter(RATE, int(words_per_minute), 0)
        library.espeak_SetParameter(PITCH, int(pitch), 0)
        library.espeak_Synth(text, len(text) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
        waves.append(np.concatenate(spoken))
    return waves
