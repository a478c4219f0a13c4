"""Pairwise masks that cancel: the server learns the sum of the updates, and no single one.

The core of Bonawitz et al. 2017 ("Practical secure aggregation", doi 10.1145/3133956.3133982), with semi-honest parties
and without its recovery from drop-outs: if a site is missing in a round, the sum of that round can't be read, and the
build fails. Every pair of sites agrees on a key by X25519, over public keys that the server hands on; a server that
hands on false keys is not noticed. The mask is what SHAKE-256 makes of key and round; one of the two adds it, the other
one subtracts it, modulo 2**64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Keys:
    """The key pair of one site for one training."""

    def __init__(self, private: bytes | None = None) -> None:
        """A fresh pair, or that of 32 bytes which `private` gave.

        Raises:
            BadSpec: the library is missing.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        except ImportError as error:
            raise BadSpec(
                "federated.aggregation is Masked, which needs cryptography: install the extra 'federated'"
            ) from error
        self._private = X25519PrivateKey.from_private_bytes(private) if private else X25519PrivateKey.generate()
        self.private = self._private.private_bytes_raw()
        self.public = self._private.public_key().public_bytes_raw()

    def mask(self, *, number: int, keys: Mapping[int, bytes], moment: int, size: int) -> NDArray[Any]:
        """What this site adds to its update.

        Args:
            number: of this site.
            keys: number -> public key of every site, this one included.
            moment: the round; a mask that is used twice tells the difference of two updates.
            size: of the update.

        Returns:
            (size,) uint64. The masks of all sites add up to zero modulo 2**64.

        Raises:
            BadSpec: the keys are not those of at least two sites with this one among them.
        """
        import numpy

        if keys.get(number) != self.public or len(set(keys.values())) != len(keys) or len(keys) < 2:
            raise BadSpec(
                f"federated: the keys for site {number} are not those of two or more different sites "
                "with its own among them: start the training again"
            )
        mask = numpy.zeros(size, dtype=numpy.uint64)
        for other in sorted(keys.keys() - {number}):
            stream = self._stream(keys[other], pair=(min(number, other), max(number, other)), moment=moment, size=size)
            mask = mask + stream if number < other else mask - stream
        return mask

    def _stream(self, public: bytes, *, pair: tuple[int, int], moment: int, size: int) -> NDArray[Any]:
        """The same for both of a pair, and noise for everybody else: (size,) uint64."""
        import numpy
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        shared = self._private.exchange(X25519PublicKey.from_public_bytes(public))
        told = f"federated mask/{pair[0]}/{pair[1]}/{moment}/".encode()
        return numpy.frombuffer(hashlib.shake_256(told + shared).digest(8 * size), dtype="<u8")
