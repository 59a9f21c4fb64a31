"""Writes an adapter as a GGUF file that llama.cpp loads, and reads it back."""

import os

import gguf
import torch
from gguf import GGMLQuantizationType as Type

# The format of the prompts that it was trained on, which the daemon has to write for it: see DATA_CARD.md.
DIALECT = "turns-3"
# Numbers of a block of Q8_0.
BLOCK = 32


def save(path, lora, metadata):
    """Writes `lora`, each block of 32 numbers as bytes with one scale (Q8_0), or as float16 where a row is no whole
    number of blocks. `metadata` are texts and numbers that are kept under `agentd.`"""
    new = f"{path}.new"
    writer = gguf.GGUFWriter(new, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(lora.alpha))
    writer.add_string("agentd.dialect", DIALECT)
    for key, value in metadata.items():
        add = {str: writer.add_string, int: writer.add_uint64, float: writer.add_float32}[type(value)]
        add(f"agentd.{key}", value)
    for key, a in lora.a.items():
        layer, name = key.split("/")
        # llama.cpp scales by alpha and the rank that each pair of factors has.
        for part, values in (("lora_a", a), ("lora_b", lora.b[key] * (lora.scale * len(a) / lora.alpha))):
            values = values.detach().numpy()
            kind = Type.Q8_0 if values.shape[1] % BLOCK == 0 else Type.F16
            writer.add_tensor(f"blk.{layer}.{name}.weight.{part}", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(new, path)


def ranks(path):
    """The ranks of the attention and of the feed-forward layers in a file."""
    found = {tensor.name.split(".")[2]: int(tensor.shape[1]) for tensor in gguf.GGUFReader(path).tensors if tensor.name.endswith("lora_a")}
    return found["attn_q"], found["ffn_up"]


def told(path):
    """What the file says of its training: the `metadata` that it was saved with."""
    return {name.removeprefix("agentd."): field.contents() for name, field in gguf.GGUFReader(path).fields.items() if name.startswith("agentd.")}


def load(path, lora):
    """Puts the factors of a file into `lora`. Where `lora` has a higher rank, what is new changes nothing yet: its part of B is nought."""
    reader = gguf.GGUFReader(path)
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    for tensor in reader.tensors:
        _, layer, name, _, part = tensor.name.split(".")
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy()).float()
        is_a, key = part == "lora_a", f"{layer}/{name}"
        into = (lora.a if is_a else lora.b)[key].data
        rank, own = (values.shape[0], into.shape[0]) if is_a else (values.shape[1], into.shape[1])
        if rank > own:
            raise SystemExit(f"{path}: {tensor.name} has the rank {rank}, which is more than {own}: give its --rank and --ffn-rank, or none")
        if is_a:
            into[:rank] = values
        else:
            into.zero_()[:, :rank] = values * (alpha / rank / lora.scale)
