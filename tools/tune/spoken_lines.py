#!/usr/bin/env python3
"""What people say to a machine of `crafts` where they stand, as a speech recogniser writes it down (files in `spoken`).

`@machine` opens a machine that `crafts` has, and its lines follow: `tool | what is said` with the places of the tool's lines,
`tool role=value, role=value | what is said`, and `none | what nobody says to the machine, or what it must not do`.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

import banks
import machine_files
from banks import Line
from phrases import parsed

FOLDER = banks.HERE / "spoken"
KIND = "T"
# What a recogniser does not write: all else is words, digits and what stands inside of them.
SIGNS = re.compile(r"[A-Z?!;\"]|[.,:](?!\d)|-(?!\w)")


@dataclass
class Spoken:
    """The lines of one machine."""
    nothing: list = field(default_factory=list)
    asked: list = field(default_factory=list)   # (tool, Line)


def read(path):
    """Machine -> its lines. A fault is told with its line."""
    return machine_files.read(path, Spoken, read_line)


def read_line(of, raw):
    head, bar, text = raw.partition("|")
    tool, _, fixed = head.strip().partition(" ")
    text = text.strip()
    if not bar or not tool or len(text) < 3:
        raise ValueError("no such line")
    if SIGNS.search(re.sub(r"\{[^}]*\}", "", text)):
        raise ValueError("a recogniser writes no capitals and no signs")
    parsed(text)
    if tool == "none":
        if fixed or "{" in text:
            raise ValueError("none has no values")
        of.nothing.append(text)
    else:
        of.asked.append((tool, Line(KIND, {role.strip(): value.strip() for role, value in banks.pairs(fixed).items()}, text)))


def everything():
    """Machine -> its lines, of all files. No machine stands in two of them."""
    return machine_files.everything(FOLDER, read)


def faults(path):
    """What does not fit the machines of `crafts`, in words."""
    return machine_files.faults(read(path), faults_of)


def faults_of(craft, tools, lines):
    """The same of one machine."""
    import crafts
    by_tool = defaultdict(list)
    for tool, line in lines.asked:
        by_tool[tool].append(line)
    for tool, own in by_tool.items():
        if tool in tools:
            yield from crafts.faults_of(craft, tools[tool], own)
        else:
            yield f"@{craft.name}: {own[0].text}: there is no tool {tool}"
    if len(lines.nothing) < 2:
        yield f"@{craft.name}: fewer than 2 lines none"


if __name__ == "__main__":
    machine_files.check("Checks files of what is said to machines.", faults)
