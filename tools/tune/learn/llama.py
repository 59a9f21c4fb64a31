"""The llama architecture in the layout of a GGUF file, with a LoRA on every linear layer.

The weights are those that run in production, dequantised. Because they stay in llama.cpp's own layout (the rows
of q and k permuted for its rotary embedding of neighbouring pairs), an adapter that is trained on them needs no
permutation of its own. Sources: ggml's `docs/gguf.md` for the file; llama.cpp's `LLM_ARCH_LLAMA` for the graph.
"""

import math

import gguf
import torch
import torch.nn.functional as F
from torch import nn

LINEARS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class Base:
    """The frozen weights of a model, as float32, and its sizes."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.ggml.")}
        if fields["general.architecture"] != "llama":
            raise SystemExit(f"{path}: its architecture is {fields['general.architecture']}; only llama is trained here")
        self.layers = fields["llama.block_count"]
        self.heads = fields["llama.attention.head_count"]
        self.kv_heads = fields["llama.attention.head_count_kv"]
        self.width = fields["llama.embedding_length"]
        self.eps = fields["llama.attention.layer_norm_rms_epsilon"]
        self.rope_base = fields.get("llama.rope.freq_base", 10000.0)
        self.weights = {}
        for tensor in reader.tensors:
            # A copy, because the reader's memory is the mapped file.
            values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy()).float()
            self.weights[tensor.name] = values.reshape(tuple(int(n) for n in reversed(tensor.shape)))

    def linear(self, layer, name):
        return self.weights[f"blk.{layer}.{name}.weight"]


class Lora(nn.Module):
    """The adapter: for each linear layer `[out, in]` an A of `[rank, in]` and a B of `[out, rank]`.

    `ffn_rank` is the rank of the feed-forward layers, where it is another one; all are scaled alike, by `alpha / rank`.
    """

    def __init__(self, base, rank, alpha, ffn_rank=None):
        super().__init__()
        self.alpha, self.scale = alpha, alpha / rank
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for layer in range(base.layers):
            for name in LINEARS:
                out, into = base.linear(layer, name).shape
                own = ffn_rank or rank if name.startswith("ffn") else rank
                self.a[f"{layer}/{name}"] = nn.Parameter(torch.randn(own, into) / math.sqrt(into))
                self.b[f"{layer}/{name}"] = nn.Parameter(torch.zeros(out, own))

    def through(self, layer, names, x, frozen):
        """What the layers `names`, whose own weights are `frozen` `[sum of outs, in]`, and the adapter make of `x` `[n, in]`."""
        keys = [f"{layer}/{name}" for name in names]
        low = x @ torch.cat([self.a[key] for key in keys]).to(x.dtype).T
        lows = low.split([len(self.a[key]) for key in keys], dim=1)
        parts = [low @ self.b[key].to(x.dtype).T for low, key in zip(lows, keys)]
        return torch.add(x @ frozen.T, torch.cat(parts, dim=1), alpha=self.scale)

    def change(self, key):
        """What the adapter adds to the weights `[out, in]` of a layer."""
        return self.scale * (self.b[key] @ self.a[key])


class Llama:
    """The model over one pack: a prefix, and many continuations of it that do not see each other. `learnt` is a `Lora` or a `Full`.

    Products of matrices and attention are computed in `dtype`; the factors that are learnt, the sum that goes from
    layer to layer, the norms and the loss stay float32.
    """

    def __init__(self, base, learnt, dtype=torch.float32):
        self.base, self.learnt, self.dtype = base, learnt, dtype
        # Layers that read the same input are one matrix product.
        join = lambda layer, *names: torch.cat([base.linear(layer, name) for name in names]).to(dtype)
        layers = range(base.layers)
        self.qkv = [join(layer, "attn_q", "attn_k", "attn_v") for layer in layers]
        self.attn_output = [join(layer, "attn_output") for layer in layers]
        self.gate_up = [join(layer, "ffn_gate", "ffn_up") for layer in layers]
        self.down = [join(layer, "ffn_down") for layer in layers]
        self.embedding = base.weights["token_embd.weight"]
        self.output = base.weights.get("output.weight", self.embedding).to(dtype)
        self.head = base.width // base.heads
        half = torch.arange(0, self.head, 2).float() / self.head
        self.frequencies = base.rope_base**-half

    def norm(self, x, weight):
        return F.rms_norm(x, (x.shape[-1],), self.base.weights[weight], self.base.eps).to(self.dtype)

    def rotate(self, x, angles):
        """`x` `[n, heads, head]` with its neighbouring pairs turned by `angles` `[n, head / 2]`."""
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(self.dtype)

    def hidden(self, pack):
        """The last hidden states `[n, width]` of a pack's tokens."""
        base = self.base
        x = self.embedding[pack.tokens]
        angles = pack.positions[:, None] * self.frequencies
        sizes = (base.heads * self.head, base.kv_heads * self.head, base.kv_heads * self.head)
        for layer in range(base.layers):
            y = self.norm(x, f"blk.{layer}.attn_norm.weight")
            y = self.learnt.through(layer, LINEARS[:3], y, self.qkv[layer])
            q, k, v = (part.unflatten(1, (-1, self.head)) for part in y.split(sizes, dim=1))
            y = attend(self.rotate(q, angles), self.rotate(k, angles), v, pack)
            x = x + self.learnt.through(layer, LINEARS[3:4], y, self.attn_output[layer])
            y = self.norm(x, f"blk.{layer}.ffn_norm.weight")
            gate, up = self.learnt.through(layer, LINEARS[4:6], y, self.gate_up[layer]).chunk(2, dim=1)
            y = F.silu(gate) * up
            x = x + self.learnt.through(layer, LINEARS[6:], y, self.down[layer])
        return self.norm(x, "output_norm.weight")

    def logits(self, hidden):
        return (hidden @ self.output.T).float()


def attend(q, k, v, pack):
    """Attention of the prefix over itself, and of each continuation over the prefix and itself: `[n, width]`."""
    own, group = pack.prefix, q.shape[1] // k.shape[1]
    heads_first = lambda x: x.transpose(-3, -2)
    first = F.scaled_dot_product_attention(
        heads_first(q[:own])[None], heads_first(k[:own])[None], heads_first(v[:own])[None], is_causal=True, enable_gqa=True
    )
    first = heads_first(first[0]).flatten(1)
    # The prefix is the same for all continuations, so that their scores with it are one product for each head of keys:
    # `[kv heads, n * group, prefix]`. With themselves they are side by side, padded to the longest:
    # `[count, kv heads, longest * group, longest]`; what is padded is attended to by nobody.
    grouped = lambda x: x.unflatten(1, (-1, group)).transpose(0, 1).flatten(1, 2)
    ungrouped = lambda x: x.unflatten(1, (-1, group)).transpose(0, 1)
    pad = lambda x: x.new_zeros(pack.count, pack.longest, *x.shape[1:]).index_put((pack.rows, pack.columns), x)
    # `[count, longest, kv heads, group, x]` to `[count, kv heads, longest * group, x]` and back.
    side = lambda x: pad(x).transpose(1, 2)
    q = q[own:] * q.shape[-1] ** -0.5
    before = ungrouped(grouped(q) @ k[:own].permute(1, 2, 0))
    wide = pad(q).unflatten(2, (-1, group)).transpose(1, 2).flatten(2, 3)
    here = wide @ side(k[own:]).transpose(-1, -2)
    here = here.unflatten(2, (pack.longest, group)).transpose(1, 2)[pack.rows, pack.columns]
    here = here.masked_fill(~pack.sees[:, None, None], float("-inf"))
    weights = torch.cat((before, here), dim=-1).float().softmax(dim=-1).to(q.dtype)
    y = ungrouped(weights[..., :own].transpose(0, 1).flatten(1, 2) @ v[:own].transpose(0, 1))
    wide = pad(weights[..., own:]).transpose(1, 2).flatten(2, 3) @ side(v[own:])
    y = y + wide.unflatten(2, (pack.longest, group)).transpose(1, 2)[pack.rows, pack.columns]
    return torch.cat((first, y.flatten(1)))
