#!/usr/bin/env python3
"""Averages two adapters of which the second was trained on from the first: what lies between them can be better than both.

A run that learns something new also unlearns something. Whether an average is better, `--check` tells on machines that were
held back. Source: Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv:2109.01903.
"""

import argparse
import hashlib
import json
import pathlib

import torch

import train
from learn import adapter
from learn.full import Full
from learn.lessons import Lessons
from learn.llama import Base, Llama, Lora

EXAMPLES = """examples:
  python3 average.py --model m.gguf before.gguf after.gguf --shares 0 0.5 0.8 1 --check check.jsonl
  python3 average.py --model m.gguf before.gguf after.gguf --shares 0.8 --out new.gguf
  python3 average.py --model m.gguf before.gguf run/checkpoint.pt --shares 0.5 ...      # of a run with --full
  make exam EXAM_ARGS='--adapter new.gguf --json' > exam.json      # and once more, with --exam exam.json"""


def between(first, second, share):
    """The factors of `first`, and `share` of the way to those of `second`. Rows of an A that B does not use in `first`, because
    it had a lower rank, are those of `second`."""
    found = {}
    for name, value in second.state_dict().items():
        begin = first.state_dict()[name].clone()
        if name.startswith("a."):
            unused = (first.b[name.removeprefix("a.")] == 0).all(dim=0)
            begin[unused] = value[unused]
        found[name] = begin.lerp(value, share)
    return found


def on_the_way(base, first, second):
    """What lies a share of the way from the file `first` to the file `second`, as a function of the share. `second` is an adapter,
    or the checkpoint of a run that learnt all weights: then what lies between are weights, and it is the adapter nearest to them,
    of the first one's ranks."""
    is_checkpoint = second.endswith(".pt")
    rank, ffn_rank = adapter.ranks(first if is_checkpoint else second)
    begin = Lora(base, rank, rank, ffn_rank)
    adapter.load(first, begin)
    if is_checkpoint:
        end = torch.load(second, weights_only=True)["average"]

        def weights(share):
            full = Full(base, begin)
            full.load_state_dict({name: value.lerp(end[name], share) for name, value in full.state_dict().items()})
            return full.nearest(rank, ffn_rank)

        return weights
    end = Lora(base, rank, rank, ffn_rank)
    adapter.load(second, end)

    def factors(share):
        mean = Lora(base, rank, rank, ffn_rank)
        mean.load_state_dict(between(begin, end, share))
        return mean

    return factors


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def origin(path):
    """A file's hash and what it says of its training; an average says the same of the two that it was made of."""
    if path.endswith(".pt"):
        state = torch.load(path, weights_only=True)
        return {"sha256": digest(path), "steps": state["step"], "seconds": round(state["seconds"])}
    return {"sha256": digest(path)} | adapter.told(path)


def examined(path):
    """Of an examination's result: each set's share of exact answers in percent, its interval and its count."""
    return {name: figures["exact"] for name, figures in json.loads(path.read_text("utf-8"))["sets"].items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the GGUF file that both are for")
    parser.add_argument("first", help="the adapter of before")
    parser.add_argument("second", help="the one that was trained on from it, or the checkpoint of a run with --full")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5], help="shares of the second one to try (default 0.5)")
    parser.add_argument("--check", nargs="*", default=[], help="lessons on machines that are never learnt, for each share")
    parser.add_argument("--out", type=pathlib.Path, help="where the average is written; with one share")
    parser.add_argument("--exam", type=pathlib.Path, metavar="FILE", help="what `make exam EXAM_ARGS=--json` said of it, which is written with it")
    of = parser.parse_args()
    if of.out and len(of.shares) != 1:
        parser.error("--out wants one share: name the one that is written")
    base = Base(of.model)
    mean_at = on_the_way(base, of.first, of.second)
    for share in of.shares:
        mean = mean_at(share)
        model = Llama(base, mean, train.precision("auto"))
        told = {}
        for path in of.check:
            loss, exact = train.check(model, Lessons(path, 1))
            print(f"{share:.2f} of {of.second}: {path}: loss {loss:.3f}, {exact:.1%} exact", flush=True)
            told.setdefault("check_exact", exact)
        if of.out:
            told |= {"average_share": share, "average_of": json.dumps([origin(of.first), origin(of.second)]), "base_sha256": digest(of.model)}
            if of.exam:
                told["exam"] = json.dumps(examined(of.exam))
            adapter.save(of.out, mean, told)


if __name__ == "__main__":
    main()
