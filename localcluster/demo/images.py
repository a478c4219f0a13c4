"""Handwriting for the load generator: digits of 8 x 8 pixels like those the model was trained on."""

import random
import struct
from dataclasses import dataclass

SIDE = 8
WHITE = 16
# A scanner that was replaced after the data set was made: the same digits, brighter than any that was seen in training.
GAIN = 1.25
BRIGHT_SHARE = 0.2

# One row of pixels per byte, the leftmost pixel in the highest bit.
_SHAPES = (
    "1c36222222361c00",
    "081828080808083e",
    "1c22020c1020203e",
    "1c22020c0202221c",
    "04142444447e0404",
    "3e20203c0202221c",
    "0c10203c2222221c",
    "3e02040808101010",
    "1c22221c2222221c",
    "1c22221e02040810",
)


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image in both forms in which it is sent."""

    digit: int
    bright: bool
    pixels: tuple[float, ...]

    @property
    def raw(self) -> bytes:
        """Little-endian 32-bit floats, for gRPC."""
        return struct.pack(f"<{SIDE * SIDE}f", *self.pixels)


def images(*, count: int, seed: int = 0) -> tuple[Image, ...]:
    """Return digits in turn, each written a little differently; a share of them comes from the brighter scanner."""
    dice = random.Random(seed)  # noqa: S311 - not a secret
    return tuple(_image(digit=place % 10, dice=dice) for place in range(count))


def _image(*, digit: int, dice: random.Random) -> Image:
    rows = bytes.fromhex(_SHAPES[digit])
    bright = dice.random() < BRIGHT_SHARE
    pixels = []
    for row in rows:
        for column in range(SIDE):
            ink = row >> (SIDE - 1 - column) & 1
            grey = dice.randint(WHITE - 2, WHITE) if ink else dice.choice((0, 0, 0, 0, 1, 2))
            pixels.append(float(round(grey * GAIN) if bright else grey))
    return Image(digit=digit, bright=bright, pixels=tuple(pixels))
