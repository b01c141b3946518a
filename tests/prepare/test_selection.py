from collections import Counter

import pytest

from avbalance.data.clips import Clip
from avbalance.errors import UserError
from avbalance.prepare.selection import hold_out, select


def clip(name: str, split: str = "train", label: int = 0, **more: object) -> Clip:
    return Clip(name, split, label, **{"visual": f"{name}.mp4", "audio": f"{name}.wav", **more})  # type: ignore[arg-type]


def checksums(*clips: Clip) -> dict[str, str]:
    return {file: f"sha of {file}" for clip in clips for file in (clip.visual, clip.audio) if file}


def chosen(  # noqa: ANN201
    clips: list[Clip],
    sums: dict[str, str],
    val_fraction: float = 0.0,
    drop_duplicates: bool = True,
    unseen: tuple[str, ...] = (),
):
    return select(clips, ("*.mp4", "*.wav"), sums, unseen, val_fraction, 0, drop_duplicates)  # type: ignore[arg-type]


def test_a_file_that_no_view_looks_at_may_be_absent_and_is_not_unused() -> None:
    clips = [clip("a"), clip("b")]
    sums = {"a.wav": "1", "b.wav": "2", "a.mp4": "3"}
    selection = chosen(clips, sums, unseen=("visual", "landmarks"))
    assert [(found.visual, found.audio) for found in selection.clips] == [(None, "a.wav"), (None, "b.wav")]
    assert selection.dropped == selection.unused == []


def test_clips_stand_by_split_and_name_whatever_the_order_of_the_list() -> None:
    clips = [clip("c", "test"), clip("b"), clip("a", "val"), clip("a2")]
    names = [found.name for found in chosen(clips, checksums(*clips)).clips]
    assert names == ["a2", "b", "a", "c"]
    assert [found.name for found in chosen(clips[::-1], checksums(*clips)).clips] == names


def test_a_listed_clip_whose_file_is_absent_is_dropped_and_named() -> None:
    there, gone = clip("there"), clip("gone")
    selection = chosen([there, gone], checksums(there) | {"gone.mp4": "x"})
    assert [found.name for found in selection.clips] == ["there"]
    assert selection.dropped == [{"clip": "gone", "why": "gone.wav does not exist"}]
    assert selection.num_listed == 2


def test_a_file_of_no_clip_is_named_but_one_that_is_no_media_is_not() -> None:
    one = clip("one")
    selection = chosen([one], checksums(one) | {"other.mp4": "x", "list.csv": "y"})
    assert selection.unused == [{"file": "other.mp4", "why": "belongs to no clip of any split"}]


def test_a_clip_with_a_problem_is_dropped_with_the_readers_words() -> None:
    selection = chosen([clip("odd", problem="label 'XYZ' is unknown")], checksums(clip("odd")))
    assert selection.dropped == [{"clip": "odd", "why": "label 'XYZ' is unknown"}]
    assert selection.unused == []


def test_the_same_sound_under_two_labels_leaves_train_and_stays_in_test() -> None:
    # The pairs of CREMA-D: two in train, and one across train and test. The fifth clip shares a sound and its label.
    clips = [clip("a", label=0), clip("b", label=1), clip("c", label=0), clip("d", "test", label=1), clip("e", label=0)]
    sums = checksums(*clips)
    sums |= {"b.wav": sums["a.wav"], "d.wav": sums["c.wav"], "e.wav": "own"}
    selection = chosen(clips, sums)
    assert [found.name for found in selection.clips] == ["e", "d"]
    assert selection.dropped == [
        {"clip": "a", "why": "the same sound as b (train) under another label"},
        {"clip": "b", "why": "the same sound as a (train) under another label"},
        {"clip": "c", "why": "the same sound as d (test) under another label"},
    ]
    assert selection.repaired == [{"clip": "d", "why": "the same sound as c (train) under another label, kept"}]


def test_duplicates_are_kept_and_named_where_that_is_asked_for() -> None:
    clips = [clip("a", label=0), clip("b", label=1)]
    selection = chosen(clips, checksums(*clips) | {"b.wav": "sha of a.wav"}, drop_duplicates=False)
    assert len(selection.clips) == 2
    assert [entry["clip"] for entry in selection.repaired] == ["a", "b"]


def test_a_clip_of_train_or_val_whose_sound_is_in_test_is_dropped_under_the_same_label_too() -> None:
    clips = [clip("a"), clip("b", "test"), clip("c", "val"), clip("d"), clip("e", "val"), clip("f")]
    sums = checksums(*clips) | {"b.wav": "sha of a.wav", "c.wav": "sha of a.wav", "e.mp4": "sha of d.mp4"}
    selection = chosen(clips, sums)
    assert [found.name for found in selection.clips] == ["d", "f", "e", "b"]
    assert selection.dropped == [
        {"clip": "a", "why": "the same sound as b (test)"},
        {"clip": "c", "why": "the same sound as b (test)"},
    ]
    assert selection.repaired == [
        {"clip": "b", "why": "the same sound as a (train), kept"},
        {"clip": "d", "why": "the same pictures as e (val), kept"},
        {"clip": "e", "why": "the same pictures as d (train), kept"},
    ]
    kept = chosen(clips, sums, drop_duplicates=False)
    assert len(kept.clips) == 6
    assert [entry["clip"] for entry in kept.repaired] == ["a", "b", "c", "d", "e"]


def test_another_label_is_the_reason_that_is_given_whatever_else_is_shared() -> None:
    clips = [clip("a"), clip("b", "test"), clip("c", label=1)]
    sums = checksums(*clips) | {"b.wav": "sha of a.wav", "c.mp4": "sha of a.mp4"}
    assert chosen(clips, sums).dropped == [
        {"clip": "a", "why": "the same pictures as c (train) under another label"},
        {"clip": "c", "why": "the same pictures as a (train) under another label"},
    ]


def test_stretches_of_one_file_are_no_duplicates() -> None:
    clips = [clip(f"{i}", label=i, visual="long.mp4", audio="long.mp4", start=i, end=i + 1.0) for i in range(3)]
    assert len(chosen(clips, {"long.mp4": "x"}).clips) == 3


def test_val_takes_its_share_of_every_class() -> None:
    clips = [clip(f"{label}-{i}", label=label) for label, count in ((0, 20), (1, 10), (2, 2)) for i in range(count)]
    held = hold_out(clips, 0.2, seed=0)
    # 0.2 of 20, 10 and 2 is 4, 2 and 0.4, rounded.
    assert Counter(c.label for c in held if c.split == "val") == {0: 4, 1: 2}
    assert {c.name for c in hold_out(clips, 0.2, seed=1) if c.split == "val"} != {
        c.name for c in held if c.split == "val"
    }


def test_a_class_more_leaves_the_others_val_as_it_is() -> None:
    clips = [clip(f"{label}-{i:02d}", label=label) for label in range(2) for i in range(10)]
    more = clips + [clip(f"2-{i}", label=2) for i in range(10)]
    val = {c.name for c in hold_out(clips, 0.3, seed=0) if c.split == "val"}
    assert val == {c.name for c in hold_out(more, 0.3, seed=0) if c.split == "val" and c.label != 2}


def test_the_readers_own_val_is_left_as_it_is() -> None:
    clips = [clip("a", "val"), *(clip(f"b{i}") for i in range(10))]
    selection = chosen(clips, checksums(*clips), val_fraction=0.5)
    assert [c.name for c in selection.clips if c.split == "val"] == ["a"]


def test_two_clips_of_one_name_are_the_users_error() -> None:
    with pytest.raises(UserError, match=r"two clips are named 'a' \(train and test\)"):
        chosen([clip("a"), clip("a", "test")], checksums(clip("a")))
