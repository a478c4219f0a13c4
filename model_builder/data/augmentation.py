"""Small changes of training rows that leave their labels true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from model_builder.decode import Range

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """Which changes; every row draws its own. The default changes nothing."""

    flip: Annotated[bool, "mirror an image left to right in half of the cases"] = False
    shift: Annotated[int, Range(0, 64), "move an image by up to so many pixels up, down and sideways"] = 0
    noise: Annotated[float, Range(0, 1), "Gaussian noise, as a share of the spread of all values of the batch"] = 0.0

    def apply(self, rows: Tensor, *, generator: Generator) -> Tensor:
        """Changed copies of `rows`: (n, height, width) or (n, channels, height, width) for `flip` and `shift`."""
        import torch

        if self.flip:
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            rows = torch.where(mirrored.reshape(-1, *[1] * (rows.ndim - 1)), rows.flip(-1), rows)
        if self.shift:
            rows = self._shifted(rows, generator=generator)
        if self.noise:
            rows = rows + torch.randn(rows.shape, generator=generator) * rows.std() * self.noise
        return rows

    def _shifted(self, rows: Tensor, *, generator: Generator) -> Tensor:
        import torch

        height, width = rows.shape[-2:]
        padded = torch.nn.functional.pad(rows, [self.shift] * 4)
        corners = torch.randint(0, 2 * self.shift + 1, (len(rows), 2), generator=generator).tolist()
        return torch.stack(
            [
                row[..., down : down + height, right : right + width]
                for row, (down, right) in zip(padded, corners, strict=True)
            ]
        )
