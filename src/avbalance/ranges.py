"""Ranges of numbers, as types of options and keys. Every check refuses NaN and infinity.

A method's signature names them, `alpha: Positive = 0.8`; `signature` reads them there and checks what a row gives.
"""

from collections.abc import Hashable
from typing import Annotated

from pydantic import AfterValidator, Field

LARGEST = 10**9
"""Largest whole number; no count of clips, units, hertz or steps comes near, so a larger one is a typo."""
FLOAT32 = 3.4e38
"""Largest number that float32 holds."""

Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""A number of things: 1, 2, ..."""
Whole = Annotated[int, Field(ge=0, le=LARGEST)]
"""0, 1, 2, ...: seeds, epochs, steps."""
Even = Annotated[int, Field(ge=2, le=LARGEST, multiple_of=2)]
Sixteens = Annotated[int, Field(ge=16, le=LARGEST, multiple_of=16)]
"""16, 32, 48, ..."""
Positive = Annotated[float, Field(gt=0, le=FLOAT32)]
NotNegative = Annotated[float, Field(ge=0, le=FLOAT32)]
Real = Annotated[float, Field(ge=-FLOAT32, le=FLOAT32)]
"""Any number, such as decibels."""
Share = Annotated[float, Field(ge=0, le=1)]
"""0 to 1, both included."""
Cosine = Annotated[float, Field(ge=-1, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
"""0 to 1 without 1, such as a rate of dropout."""


Handful = Annotated[int, Field(ge=1, le=20)]
"""A number of things that fit side by side."""
Text = Annotated[str, Field(min_length=1)]


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("input should be odd")
    return number


Odd = Annotated[int, Field(ge=1, le=LARGEST), AfterValidator(_odd)]


def distinct(values: list[Hashable]) -> list[Hashable]:
    """The values, none of which stands twice."""
    if twice := [value for index, value in enumerate(values) if value in values[:index]]:
        raise ValueError(f"{twice[0]!r} stands twice; leave one out")
    return values


def _ascending(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError("input should ascend")
    return values


Edges = Annotated[list[Real], Field(min_length=1), AfterValidator(_ascending)]
Seeds = Annotated[list[Whole], Field(min_length=1), AfterValidator(distinct)]
Pair = Annotated[list[Text], Field(min_length=2, max_length=2), AfterValidator(distinct)]
"""Two names, the order of which matters."""
Widths = Annotated[list[Count], Field(min_length=1, max_length=16)]
"""Units of each of several layers."""
Names = Annotated[list[Text], Field(min_length=1), AfterValidator(distinct)]
