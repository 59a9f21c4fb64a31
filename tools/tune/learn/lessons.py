"""Lessons: what `agentd tune lessons` made of sentences and calls, packed for training.

A lesson is a line of JSON: `{"prefix": [token], "pairs": [{"prompt": [token], "answer": [token], "choices":
[[at, [token] or null]]}]}`. A choice is a place of the answer where the grammar left more than one token; null
stands for so many that they are not written down. Only choices are learnt: the rest is forced in production too.
"""

import json
import random

import torch


class Pack:
    """Many pairs behind one prefix, as tensors."""

    def __init__(self, lesson):
        prefix, pairs = lesson["prefix"], lesson["pairs"]
        self.prefix, self.count = len(prefix), len(pairs)
        tokens, positions, rows, columns = list(prefix), list(range(len(prefix))), [], []
        self.longest = max(len(pair["prompt"]) + len(pair["answer"]) - 1 for pair in pairs)
        at, targets, allowed, owners = [], [], [], []
        for row, pair in enumerate(pairs):
            begin = len(tokens)
            # The last token of the answer is decided, and read by nobody.
            own = pair["prompt"] + pair["answer"][:-1]
            tokens += own
            positions += range(self.prefix, self.prefix + len(own))
            rows += [row] * len(own)
            columns += range(len(own))
            for place, among in pair["choices"]:
                at.append(begin + len(pair["prompt"]) + place - 1)
                targets.append(pair["answer"][place])
                allowed.append(among)
                owners.append(row)
        self.tokens, self.positions = torch.tensor(tokens), torch.tensor(positions).float()
        self.rows, self.columns = torch.tensor(rows), torch.tensor(columns)
        self.at, self.targets, self.owners = torch.tensor(at), torch.tensor(targets), torch.tensor(owners)
        self.allowed = allowed
        # Which places of its own continuation a token sees: `[n, longest]`.
        self.sees = torch.arange(self.longest) <= self.columns[:, None]

    def masked(self, logits):
        """Logits `[choices, vocabulary]` with minus infinity for what the grammar forbids."""
        forbidden = torch.ones_like(logits, dtype=torch.bool)
        for row, among in enumerate(self.allowed):
            forbidden[row, slice(None) if among is None else among] = False
        return logits.masked_fill(forbidden, float("-inf"))


class Lessons:
    """The lessons of a file, in an order that a seed decides, again and again."""

    def __init__(self, path, seed):
        with open(path, encoding="utf-8") as lines:
            self.lines = [line for line in lines if line.strip()]
        self.seed = seed

    def at(self, step):
        """The lesson of a step, so that a run that is taken up again sees what it would have seen."""
        turn, index = divmod(step, len(self.lines))
        order = list(range(len(self.lines)))
        random.Random(f"{self.seed}/{turn}").shuffle(order)
        return json.loads(self.lines[order[index]])

    def all(self):
        return map(json.loads, self.lines)
