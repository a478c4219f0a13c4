"""Attention whose projections are narrower than the network around it. Imports torch: import it where it is needed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class NarrowAttention(nn.MultiheadAttention):
    """Some of the heads of torch's attention, which itself insists on heads times their size being its width.

    It takes the same arguments, and its weights have the same names and fewer rows (in_proj) or columns (out_proj).
    """

    def __init__(self, whole: nn.MultiheadAttention, *, kept: Tensor) -> None:
        """Copy the heads whose numbers are in `kept` (int64)."""
        bias = whole.in_proj_bias is not None
        super().__init__(
            whole.embed_dim,
            whole.num_heads if not isinstance(whole, NarrowAttention) else 1,
            dropout=whole.dropout,
            bias=bias,
            batch_first=whole.batch_first,
            device="meta",  # all of its weights are replaced
        )
        self.num_heads, self.head_dim = len(kept), whole.head_dim
        # Without it torch's fast path would compute this module without calling it, and with the wrong sizes.
        self._qkv_same_embed_dim = False
        rows = (kept[:, None] * whole.head_dim + torch.arange(whole.head_dim)).flatten()
        inner = whole.num_heads * whole.head_dim
        packed = torch.cat([rows + part * inner for part in range(3)])
        self.in_proj_weight = nn.Parameter(whole.in_proj_weight.detach().index_select(0, packed))
        self.out_proj.weight = nn.Parameter(whole.out_proj.weight.detach().index_select(1, rows))
        self.out_proj.in_features = len(rows)
        if whole.in_proj_bias is not None:
            self.in_proj_bias = nn.Parameter(whole.in_proj_bias.detach().index_select(0, packed))
            self.out_proj.bias = nn.Parameter(whole.out_proj.bias.detach().clone())

    def forward(  # noqa: D102 - torch's own, with its arguments in its order
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,  # noqa: FBT001, FBT002
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,  # noqa: FBT001, FBT002
        is_causal: bool = False,  # noqa: FBT001, FBT002, ARG002 - a hint; the mask says the same
    ) -> tuple[Tensor, Tensor | None]:
        single = query.dim() == 2
        inputs = [tensor.unsqueeze(0) if single else tensor for tensor in (query, key, value)]
        if not (single or self.batch_first):
            inputs = [tensor.transpose(0, 1) for tensor in inputs]
        q, k, v = self._projected(inputs)
        mask = _added(attn_mask, key_padding_mask, like=q)
        weights = None
        chance = self.dropout if self.training else 0.0
        if need_weights:
            logits = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = functional.dropout((logits if mask is None else logits + mask).softmax(dim=-1), chance)
            heads = weights @ v
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=chance)
        answer: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if single:
            return answer.squeeze(0), None if weights is None else weights.squeeze(0)
        return answer if self.batch_first else answer.transpose(0, 1), weights

    def _projected(self, inputs: list[Tensor]) -> list[Tensor]:
        """Queries, keys and values, each (n, heads, length, size of a head)."""
        matrices = self.in_proj_weight.chunk(3)
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [
            torch.unflatten(functional.linear(tensor, matrix, bias), -1, (self.num_heads, self.head_dim)).transpose(
                1, 2
            )
            for tensor, matrix, bias in zip(inputs, matrices, biases, strict=True)
        ]


def _added(attention: Tensor | None, padding: Tensor | None, *, like: Tensor) -> Tensor | None:
    """Both masks as one that is added to the logits: (length, length) for all rows, (n, length) for each row's keys."""

    def plain(mask: Tensor) -> Tensor:
        if mask.dtype is not torch.bool:
            return mask.to(like.dtype)
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)

    parts = []
    if attention is not None:
        if attention.dim() != 2:
            raise ValueError("an attention mask per head fits no attention that lost heads: use one for all of them")
        parts.append(plain(attention))
    if padding is not None:
        parts.append(plain(padding).reshape(-1, 1, 1, padding.shape[-1]))
    return sum(parts[1:], start=parts[0]) if parts else None
