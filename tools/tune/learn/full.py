"""The weights of all linear layers, learnt themselves, and the adapter that is nearest to what they have become."""

import torch
from torch import nn

from learn.llama import Lora


class Full(nn.Module):
    """The weights `[out, in]` of each linear layer: those of `base`, with what `lora` adds to them."""

    def __init__(self, base, lora):
        super().__init__()
        self.base = base
        with torch.no_grad():
            self.weights = nn.ParameterDict({key: nn.Parameter(frozen(base, key) + lora.change(key)) for key in lora.a})

    def through(self, layer, names, x, _frozen):
        """What the layers `names` make of `x` `[n, in]`, in place of the frozen ones."""
        return x @ torch.cat([self.weights[f"{layer}/{name}"] for name in names]).to(x.dtype).T

    @torch.no_grad()
    def nearest(self, rank, ffn_rank):
        """The adapter of these ranks whose changes of the weights differ least from those that were learnt, by the sum of
        squares: their largest singular values (Eckart and Young, "The approximation of one matrix by another of lower rank")."""
        lora = Lora(self.base, rank, rank, ffn_rank)
        for key, weights in self.weights.items():
            left, values, right = torch.linalg.svd(weights - frozen(self.base, key), full_matrices=False)
            own = min(len(lora.a[key]), len(values))
            root = values[:own].sqrt()
            lora.a[key].zero_()[:own] = root[:, None] * right[:own]
            lora.b[key].zero_()[:, :own] = left[:, :own] * root
        return lora


def frozen(base, key):
    layer, name = key.split("/")
    return base.linear(int(layer), name)
