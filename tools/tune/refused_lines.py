#!/usr/bin/env python3
"""Sentences on which a machine of `crafts` must not act, in its own words (files in `refused`).

`@machine` opens a machine that `crafts` has, and its lines follow: `N | what it cannot do`, `U | what is unsafe`, `D | what is not to be
done, or not now`, `R | a remark`, `A tool | one of several things, and not which`, `V tool, tool | one of these tools, and not which`.
An `A` is answered with its tool without arguments, so that the thing is asked for; all others are `none()`.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

import banks
import machine_files
from phrases import parsed

FOLDER = banks.HERE / "refused"
NOTHING = "NUDR"
# A line that names tools, and how many of them at least.
NAMING = {"A": 1, "V": 2}


@dataclass
class Refused:
    """The lines of one machine."""
    plain: dict = field(default_factory=lambda: defaultdict(list))  # kind of `NOTHING` -> sentences
    which: list = field(default_factory=list)                       # (tool, sentence)
    either: list = field(default_factory=list)                      # (tools, sentence)


def read(path):
    """Machine -> its lines. A fault is told with its line."""
    return machine_files.read(path, Refused, read_line)


def read_line(of, raw):
    head, bar, text = raw.partition("|")
    kind, _, names = head.strip().partition(" ")
    names, text = [name.strip() for name in names.split(",") if name.strip()], re.sub(r"(?<!\.)[.?!]$", "", text.strip())
    if not bar or len(text) < 3 or kind not in NOTHING and kind not in NAMING:
        raise ValueError("no such line")
    if len(names) < NAMING.get(kind, 0) or names and kind in NOTHING:
        raise ValueError("the tools before the bar are missing, too few or too many")
    parsed(text)
    if kind in NOTHING:
        of.plain[kind].append(text)
    elif kind == "A":
        of.which.append((names[0], text))
    else:
        of.either.append((frozenset(names), text))


def everything():
    """Machine -> its lines, of all files. No machine stands in two of them."""
    return machine_files.everything(FOLDER, read)


def faults(path):
    """What does not fit the machines of `crafts`, in words."""
    return machine_files.faults(read(path), faults_of)


def faults_of(craft, tools, lines):
    """The same of one machine."""
    named = [(tool, text) for tool, text in lines.which] + [(tool, text) for both, text in lines.either for tool in both]
    yield from (f"@{craft.name}: {text}: there is no tool {tool}" for tool, text in named if tool not in tools)
    texts = [text for kind in NOTHING for text in lines.plain[kind]] + [text for _, text in lines.which + lines.either]
    yield from (f"@{craft.name}: {text}: a line has no places" for text in texts if "{" in text)
    for tool, text in lines.which:
        if tool in tools and not any(entry[1] in ("things", "nth", "words") and not entry[3] and not entry[5] for entry in tools[tool].params):
            yield f"@{craft.name}: A {tool} | {text}: this tool needs no thing that could be one of several"
    for kind, fewest in {"N": 3, "U": 3, "D": 4, "R": 3}.items():
        if len(lines.plain[kind]) < fewest:
            yield f"@{craft.name}: fewer than {fewest} lines {kind}"


if __name__ == "__main__":
    machine_files.check("Checks files of refused sentences.", faults)
