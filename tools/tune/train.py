#!/usr/bin/env python3
"""Trains a LoRA adapter for calling tools, on a CPU, from lessons that `agentd tune lessons` wrote."""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import time

import torch
import torch.nn.functional as F

from learn import adapter
from learn.full import Full
from learn.lessons import Lessons, Pack
from learn.llama import Base, Llama, Lora

EXAMPLES = """examples:
  python3 train.py --model m.gguf --lessons train.jsonl --check check.jsonl --out run --steps 1500
  python3 train.py ... --out run --steps 3000        # goes on where run/checkpoint.pt is; SIGTERM and ^C write it
  python3 train.py ... --from adapter.gguf           # begins with an adapter
  python3 train.py ... --from adapter.gguf --full --rate 1e-4

The rate rises for --warmup steps, stays, and falls to nothing over the last --decay steps. The state before the
fall is kept too (run/plateau.pt), so that a longer run can go on from there."""

# The exit code of a run that was told to stop before its end: EX_TEMPFAIL of sysexits.h.
STOPPED = 75


def options():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the GGUF file whose weights run in production")
    parser.add_argument("--lessons", required=True, help="what is learnt")
    parser.add_argument("--check", required=True, help="lessons on other toolsets, which are never learnt")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of checkpoints, log and adapter.gguf")
    parser.add_argument("--from", dest="begin", help="an adapter to begin with")
    parser.add_argument("--full", action="store_true",
                        help="learn all weights of the linear layers, with a tenth of the usual rate; what is checked and written is the adapter nearest to them")
    parser.add_argument("--rank", type=int, help="of the attention's layers (default: as --from has it, else 32); it may be more than --from has")
    parser.add_argument("--ffn-rank", type=int, help="of the feed-forward layers (default: as --from has it, else --rank)")
    parser.add_argument("--alpha", type=float, help="the adapter counts alpha / rank times (default: as much as --rank)")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (default 0.001)")
    parser.add_argument("--steps", type=int, default=1000, help="in all, with those of the checkpoint (default 1000)")
    parser.add_argument("--packs", type=int, default=1, help="toolsets a step (default 1)")
    parser.add_argument("--warmup", type=int, default=30)
    parser.add_argument("--decay", type=int, default=200, help="steps over which the rate falls at the end (default 200)")
    parser.add_argument("--every", type=int, default=100, help="steps between two checks and checkpoints (default 100)")
    parser.add_argument("--average", type=float, default=0.98, help="share that the average of the factors keeps at each step; what is checked and written is the average (default 0.98)")
    parser.add_argument("--patience", type=int, default=0, help="stop after so many checks without a better one; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto",
                        help="of products and attention; auto: bfloat16 where the processor multiplies it (default auto)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def precision(name):
    """The type of that name. Without instructions of its own, bfloat16 is slower than float32 and no better."""
    if name == "auto":
        cpuinfo = pathlib.Path("/proc/cpuinfo")
        flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
        name = "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"
    return getattr(torch, name)


def loss_of(model, pack):
    """The loss of a pack: for each pair what its choices cost in nats, on average over the pairs."""
    logits = pack.masked(model.logits(model.hidden(pack)[pack.at]))
    return F.cross_entropy(logits, pack.targets, reduction="sum") / pack.count


@torch.no_grad()
def check(model, lessons):
    """The loss, and the share of pairs of which every choice is right: what greedy decoding gets exactly."""
    right = pairs = 0
    loss = 0.0
    for lesson in lessons.all():
        pack = Pack(lesson)
        logits = pack.masked(model.logits(model.hidden(pack)[pack.at]))
        loss += F.cross_entropy(logits, pack.targets, reduction="sum").item()
        wrong = set(pack.owners[logits.argmax(dim=1) != pack.targets].tolist())
        right += pack.count - len(wrong)
        pairs += pack.count
    return loss / pairs, right / pairs


def rate_at(step, of):
    """The share of the full rate that a step has."""
    rising = min(1.0, (step + 1) / max(of.warmup, 1))
    falling = min(1.0, (of.steps - step) / max(of.decay, 1))
    return min(rising, falling)


class Run:
    """A training run, which can be left at any checkpoint and taken up again."""

    def __init__(self, of):
        torch.manual_seed(of.seed)
        torch.set_num_threads(of.threads)
        of.out.mkdir(parents=True, exist_ok=True)
        base = Base(of.model)
        begun = adapter.ranks(of.begin) if of.begin else (32, None)
        rank = of.rank or begun[0]
        self.of, self.ranks = of, (rank, of.ffn_rank or begun[1])
        lora = Lora(base, rank, of.alpha or rank, self.ranks[1])
        if of.begin:
            adapter.load(of.begin, lora)
        self.learnt = Full(base, lora) if of.full else lora
        dtype = precision(of.precision)
        print(f"computing in {dtype} on {of.threads} threads", flush=True)
        self.model = Llama(base, self.learnt, dtype)
        self.lessons, self.checks = Lessons(of.lessons, of.seed), Lessons(of.check, of.seed)
        self.optimizer = torch.optim.AdamW(self.learnt.parameters(), lr=of.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=of.full)
        self.base_sha256 = hashlib.sha256(pathlib.Path(of.model).read_bytes()).hexdigest()
        self.average = {name: value.clone() for name, value in self.learnt.state_dict().items()}
        self.step, self.best, self.since_best, self.seconds, self.loss = 0, 0.0, 0, 0.0, None
        self.is_told_to_stop = False

    def take_up(self):
        """Goes on from the checkpoint, if there is one."""
        path = self.of.out / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.learnt.load_state_dict(state["lora"])
            # Checkpoints were written without one before.
            self.average = state.get("average") or {name: value.clone() for name, value in state["lora"].items()}
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
            print(f"going on after step {self.step}", flush=True)

    def keep(self, name):
        told = {"step": self.step, "best": self.best, "seconds": self.seconds}
        torch.save(told | {"lora": self.learnt.state_dict(), "average": self.average, "optimizer": self.optimizer.state_dict()}, self.of.out / "new.pt")
        os.replace(self.of.out / "new.pt", self.of.out / name)

    def learn(self):
        """One step."""
        begun = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self.of.rate * rate_at(self.step, self.of)
        total = 0.0
        for part in range(self.of.packs):
            loss = loss_of(self.model, Pack(self.lessons.at(self.step * self.of.packs + part))) / self.of.packs
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.learnt.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        # In the beginning it follows sooner: what it begins with is worth nothing.
        kept = min(self.of.average, (1 + self.step) / (10 + self.step))
        for name, value in self.learnt.state_dict().items():
            self.average[name].lerp_(value, 1 - kept)
        self.loss = total if self.loss is None else 0.95 * self.loss + 0.05 * total
        self.step += 1
        self.seconds += time.monotonic() - begun

    def examine(self):
        """Checks the average, writes the figures down, keeps the adapter if it is the best one, and a checkpoint.

        A step is one machine's sentences and throws the factors about; their average is near what a falling rate leads to.
        """
        learning = {name: value.clone() for name, value in self.learnt.state_dict().items()}
        self.learnt.load_state_dict(self.average)
        lora, model = self.learnt, self.model
        if self.of.full:
            lora = self.learnt.nearest(*self.ranks)
            model = Llama(self.model.base, lora, self.model.dtype)
        loss, exact = check(model, self.checks)
        line = {"step": self.step, "loss": self.loss, "check_loss": loss, "check_exact": exact, "seconds": round(self.seconds)}
        with open(self.of.out / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(f"step {self.step}: check loss {loss:.3f}, {exact:.1%} exact", flush=True)
        self.since_best = 0 if exact >= self.best else self.since_best + 1
        if exact >= self.best:
            self.best = exact
            told = {"steps": self.step, "seconds": round(self.seconds), "seed": self.of.seed, "check_exact": exact}
            adapter.save(self.of.out / "adapter.gguf", lora, told | {"base_sha256": self.base_sha256})
        self.learnt.load_state_dict(learning)
        self.keep("checkpoint.pt")

    def stop(self, *_):
        """What SIGTERM and SIGINT do: the step of now is ended and its state kept."""
        self.is_told_to_stop = True

    def go(self):
        first, seconds = self.step, self.seconds
        while self.step < self.of.steps:
            if self.is_told_to_stop:
                self.keep("checkpoint.pt")
                print(f"stopped after step {self.step}; run it again to go on", flush=True)
                raise SystemExit(STOPPED)
            if self.step == self.of.steps - self.of.decay and self.step > first:
                self.keep("plateau.pt")
            self.learn()
            if self.step % 10 == 0:
                pace = (self.seconds - seconds) / (self.step - first)
                left = pace * (self.of.steps - self.step) / 60
                print(f"step {self.step} of {self.of.steps}: loss {self.loss:.3f}, {pace:.1f} s a step, {left:.0f} min left", flush=True)
            if self.step % self.of.every == 0 or self.step == self.of.steps:
                self.examine()
                if self.of.patience and self.since_best >= self.of.patience:
                    print(f"no better check in {self.since_best}: stopped", flush=True)
                    return


def main():
    run = Run(options())
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, run.stop)
    run.take_up()
    run.go()


if __name__ == "__main__":
    main()
