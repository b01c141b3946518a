from avbalance import scaling
from avbalance.schema import Probing, Row, Scale, ScaleDataset, Training

TRAINING = Training(epochs=1, batch_size=1, learning_rate=0.1, patience=1, precision="float32")


def scaled(**changes: object) -> Row:
    scale = Scale(
        seeds=[0],
        threads=1,
        training=TRAINING,
        starts={"public": "images"},
        datasets={"digits": ScaleDataset(source="generated", moments={2000: 48})},
    )
    row = Row.model_validate({"dataset": "digits", "encoder": "resnet18", **changes})
    scaling.scale(row, scale)
    return row


def test_moments_that_a_scale_cannot_reach_are_replaced_in_training_and_probe() -> None:
    row = scaled(training={"moments": [0, 2000]}, probe=Probing(layers=["input"], moment=2000))
    assert row.training["moments"] == [0, 48]
    assert row.probe is not None
    assert row.probe.moment == 48


def test_moments_of_other_data_sets_stay() -> None:
    assert scaled(dataset="faces", training={"moments": [2000]}).training["moments"] == [2000]


def test_public_weights_are_replaced_by_a_run_on_a_data_set() -> None:
    assert scaled(pretrained={"visual": "public", "audio": "other"}).pretrained == {
        "visual": "images",
        "audio": "other",
    }
    assert scaled(pretrained=True).pretrained is True
