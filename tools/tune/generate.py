#!/usr/bin/env python3
"""Writes training data: one line a toolset, with sentences and the calls that they mean."""

import argparse
import glob
import json
import random
import re
import sys

import banks
import crafts
import machines
import pairs
import toolsets

# How many of a hundred toolsets are one of the six machines that are known word for word.
KNOWN_SHARE = 5
# How many are a machine that was written down whole, and how many a program.
CRAFT_SHARE = 60
PROGRAM_SHARE = 22
# How many of a hundred sentences that stand alone, and begin as if they did not, come after another one.
AFTER_OTHERS_SHARE = 70
# By what production knows a sentence that may go on with the one before.
FILLERS = {"sorry", "hm", "oh", "ah", "well", "please"}
FIRST = {"and", "also", "now", "no", "nope", "wrong", "then", "same", "again", "actually", "but", "or"}
FIRST_TWO = {"what about", "how about", "make that", "do that", "not that", "not the", "i meant", "i said", "change that", "change it", "turn it", "switch it", "put it", "once more"}
ANYWHERE = {"too", "same", "again", "instead", "other", "another", "likewise"}

AVOID = str(banks.HERE.parents[1] / "tests" / "exam" / "sets" / "*.jsonl")
EXAMPLES = """examples:
  python3 generate.py --seed 1 --toolsets 1000 --pairs 24 --out data.jsonl
  python3 generate.py --seed 7 --toolsets 3 --show 20 --out /dev/null
  python3 generate.py --seed 1 --toolsets 10 --kinds --out -      # with the kind of each pair
"""


def sentences(pattern):
    """The sentences of files that the data must not repeat, without case and signs."""
    found = set()
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8") as lines:
            found |= {pairs.plain(json.loads(line)["say"]) for line in lines if line.strip()}
    return frozenset(found)


def refers_back(say):
    """Whether production shows the sentence before with this one (`refers_back` in `agentd/src/agent/memory.rs`)."""
    words = re.findall(r"[^\W_]+", say.lower())
    while words and words[0] in FILLERS:
        words = words[1:]
    two = [" ".join(pair) for pair in zip(words, words[1:])]
    return bool(words) and (words[0] in FIRST or two[:1] != [] and two[0] in FIRST_TWO or not ANYWHERE.isdisjoint(words) or "as well" in two)


def after_others(rng, made):
    """Lets sentences that production takes for a reference come after another one that they do not refer to, what is to be refused
    among them: a turn before does not mean that something is to be done."""
    whole = [pair for pair in made if "before" not in pair]
    said = [{"say": pair["say"], "answer": pair["answer"]} for pair in whole if pair["kind"] != "refuse"]
    for pair in whole:
        others = [turn for turn in said if turn["say"] != pair["say"]]
        if others and refers_back(pair["say"]) and rng.random() * 100 < AFTER_OTHERS_SHARE:
            pair["before"] = [rng.choice(others)]


def drawn(rng, held):
    """A toolset: a machine that is known word for word, a machine or a program that was written down whole, or a machine of
    archetypes; or one of the machines that were written down and are held back."""
    if held:
        return crafts.draw(rng, held)
    share = rng.random() * 100
    if share < KNOWN_SHARE:
        return machines.draw(rng)
    if share < KNOWN_SHARE + CRAFT_SHARE:
        return crafts.draw(rng)
    if share < KNOWN_SHARE + CRAFT_SHARE + PROGRAM_SHARE:
        return crafts.draw(rng, is_program=True)
    return toolsets.draw(rng)


def records(seed, count, pairs_each, kinds=False, avoid=frozenset(), held=False):
    """Toolsets with their pairs, one by one. Each has a seed of its own, so that a part can be made again."""
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        toolset = drawn(rng, held)
        tools = toolsets.declared(toolset)
        made = pairs.pairs_of(rng, toolset, pairs_each, avoid)
        after_others(random.Random(f"{seed}/{index}/others"), made)
        if not kinds:
            made = [{key: value for key, value in pair.items() if key not in ("kind", "why")} for pair in made]
        # Numbers of programs are learnt both ways: chosen among those that are said, and written freely.
        grounded = not toolset.is_program or rng.random() < 0.5
        yield {"tools": tools, "prompt": toolsets.prompt(tools), "pairs": made} | ({} if grounded else {"grounded": False})


def show(record, most):
    print(record["prompt"])
    for pair in record["pairs"][:most]:
        for turn in pair.get("before", []):
            print(f"    [{turn['say']}  ->  {turn['answer']}]")
        print(f"  {pair.get('kind', ''):7}{pair['say']}\n      -> " + pair["answer"].replace("\n", "\n      -> "))
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same data (default 1)")
    parser.add_argument("--toolsets", type=int, default=1000, help="how many toolsets (default 1000)")
    parser.add_argument("--pairs", type=int, default=24, help="sentences a toolset (default 24)")
    parser.add_argument("--out", default="data.jsonl", help="the file to write, - for standard output (default data.jsonl)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the first N pairs in readable form")
    parser.add_argument("--kinds", action="store_true", help="keep the kind of each pair in the data")
    parser.add_argument("--held", action="store_true", help="draw the machines that are held back, for a check while training")
    parser.add_argument("--avoid", default=AVOID, metavar="GLOB", help="files of cases whose sentences must not occur (default %(default)s)")
    options = parser.parse_args()
    left = options.show
    out = sys.stdout if options.out == "-" else open(options.out, "w", encoding="utf-8")
    with out:
        for record in records(options.seed, options.toolsets, options.pairs, kinds=True, avoid=sentences(options.avoid), held=options.held):
            if left > 0:
                show(record, left)
                left -= len(record["pairs"])
            if not options.kinds:
                for pair in record["pairs"]:
                    pair.pop("kind", None), pair.pop("why", None)
            out.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
