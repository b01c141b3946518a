"""VoxCeleb 1 and 2: celebrities who speak, as identities to learn and as pairs of utterances to compare."""

import re
from pathlib import Path

from avbalance.data.clips import Clip, Reader, Trial
from avbalance.data.lists import read_rows
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError

UTTERANCE = re.compile(r"/?(?P<name>(?P<person>id\d{5})/[^/]+/\d{5})\.wav")
LISTS = {
    "vc1": (1, ",", "voxceleb/veri_test.csv"),
    "vc2": (2, ",", "voxceleb/test_pairs.csv"),
    "vc1_o": (1, " ", "voxceleb/veri_test.txt"),
    "vc1_o_cleaned": (1, " ", "voxceleb/veri_test2.txt"),
}
"""{list of trials: (part of VoxCeleb, delimiter, file)}."""


class VoxCeleb(Reader):
    """Training clips are VoxCeleb2's dev, one class a person; test clips are those that the lists of trials name.

    Nagrani et al., Interspeech 2017; Chung et al., Interspeech 2018. With <u> = person/video/utterance, as unpacked:

        vox2/dev/aac/<u>.m4a, voxceleb_videos/dev/mp4/<u>.mp4    train: 5,994 persons, about 1.09 million utterances
        vox2/aac/<u>.m4a, voxceleb_videos/mp4/<u>.mp4            test of VoxCeleb2
        vox1/wav/<u>.wav, voxceleb_videos/mp4/<u>.mp4            test of VoxCeleb1

    Lists of trials: `vc1` and `vc2` are MMCosine's (27,270 and 9,822 trials), `vc1_o` and `vc1_o_cleaned` the official
    veri_test.txt and veri_test2.txt (37,720 and 37,611).

    VoxCeleb1's videos were never released, only where they are on YouTube; `vc1` is the subset of `vc1_o` whose videos
    MMCosine could still get, cut along the faces that VoxCeleb1's text files give. A clip of VoxCeleb1 without such a
    video has no pictures: prepared for sight and hearing, it is dropped, and every trial that needs it (dataset.json
    counts them), so the official lists are whole only where sound is prepared alone.

    A test clip's label is its person's number, counted on from the classes, for it is none of them. A file of landmarks
    is <u>.landmarks.csv beside the video, where there is one.
    """

    media = ("vox2/dev/aac/*/*/*.m4a", "voxceleb_videos/dev/mp4/*/*/*.mp4")

    def clips(self, raw: Path) -> list[Clip]:
        """The training clips in the order of their names, then the test clips."""
        files = RawFiles(raw)
        sounds = [file.removeprefix("vox2/dev/aac/") for file in files.matching(self.media[0])]
        persons = sorted({sound.split("/")[0] for sound in sounds})
        classes = {person: label for label, person in enumerate(persons)}
        clips = []
        for sound in sounds:
            name, video = f"vox2/{sound[:-4]}", f"voxceleb_videos/dev/mp4/{sound[:-4]}.mp4"
            label = classes[sound.split("/")[0]]
            clips.append(Clip(name, "train", label, video, f"vox2/dev/aac/{sound}", landmarks_of(raw, video)))
        tested = sorted({name for trials in self.trials(raw).values() for trial in trials for name in trial[:2]})
        test_persons = sorted({name.split("/")[1] for name in tested})
        places = {person: label for label, person in enumerate(test_persons, start=len(persons))}
        for name in tested:
            part, utterance = name.split("/", 1)
            video = f"voxceleb_videos/mp4/{utterance}.mp4"
            shown = video if part == "vox2" or video in files else None
            sound = f"vox1/wav/{utterance}.wav" if part == "vox1" else f"vox2/aac/{utterance}.m4a"
            label = places[utterance.split("/")[0]]
            clips.append(Clip(name, "test", label, shown, sound, landmarks_of(raw, video)))
        return clips

    def trials(self, raw: Path) -> dict[str, list[Trial]]:
        """{list: its trials}, in its order.

        Raises:
            UserError: A list is absent or malformed; the message names file and line.
        """
        return {name: read_trials(raw / path, part, delimiter) for name, (part, delimiter, path) in LISTS.items()}


def read_trials(path: Path, part: int, delimiter: str) -> list[Trial]:
    """Return the trials of one list: 1 or 0, and two wavs of VoxCeleb `part`, whose paths may begin with a slash."""
    trials = []
    for line, (is_target, *wavs) in read_rows(path, num_fields=3, delimiter=delimiter):
        matches = [UTTERANCE.fullmatch(wav) for wav in wavs]
        enrol, test = (match and f"vox{part}/{match['name']}" for match in matches)
        if is_target not in ("0", "1") or enrol is None or test is None:
            raise UserError(
                f"{path}: line {line}: is not 1 or 0 and two files person/video/utterance.wav; fetch it again"
            )
        trials.append(Trial(enrol, test, is_target == "1"))
    return trials


def landmarks_of(raw: Path, video: str) -> str | None:
    """Return the file of landmarks beside a video, if it exists."""
    path = f"{video.removesuffix('.mp4')}.landmarks.csv"
    return path if (raw / path).is_file() else None
