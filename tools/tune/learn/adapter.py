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
        for part, values in (("lora_a", a), ("lora_b", lora.b[key])):
            values = values.detach().numpy()
            kind = Type.Q8_0 if values.shape[1] % BLOCK == 0 else Type.F16
            writer.add_tensor(f"blk.{layer}.{name}.weight.{part}", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(new, path)


def load(path, lora):
    """Puts the factors of a file into `lora`, which must have its rank."""
    for tensor in gguf.GGUFReader(path).tensors:
        _, layer, name, _, part = tensor.name.split(".")
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy()).float()
        into = (lora.a if part == "lora_a" else lora.b)[f"{layer}/{name}"]
        if into.shape != values.shape:
            raise SystemExit(f"{path}: {tensor.name} has the shape {tuple(values.shape)}, not {tuple(into.shape)}: give its --rank")
        into.data.copy_(values)
