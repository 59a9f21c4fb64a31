#!/usr/bin/env python3
"""Machines that were written down whole: tools of their own kind, and sentences for each (files in `crafts`).

Archetypes lend the same wording to all domains; here nearly every tool is the only one of its kind. Of a machine that
is drawn some tools are left out, and each gets one of its names and descriptions. The format is that of the archetypes,
with what they draw from a domain written in place: `p role things:left door,right door~stable door names...`.
"""

import random
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from zlib import crc32

import banks
import machine_files
import programs
import refused_lines
import spoken_lines
from banks import Archetype, Domain, Line
from declare import SWITCHES, param_of, read_param, value_of
from phrases import parsed
from style import Style
from toolsets import Tool, Toolset

FOLDER = banks.HERE / "crafts"
FEWEST, MOST = 5, 14
# How often there are fewer tools than that.
FEW = 0.12
# How often at most four tools are left out, and the share of tools without parameters.
MOSTLY = 0.7
MOST_BARE = 0.25
# A fragment of such words alone could be said of any tool with a switch.
ANYTHING = set("on off in out up down go stop start run open close shut pause more less again now please yes no back high low".split())
# One machine of so many is held back.
HELD_EVERY = 10
# How often a thing or a word is missing that such a machine has.
INCOMPLETE = 0.7
# Of a hundred programs and machines whose parameters have descriptions, in how many they are declared with them.
DESCRIBED_PROGRAMS, DESCRIBED_MACHINES = 85, 50
# A line's fixed arguments stand before " | ".
FIXED = re.compile(r"((?:\w+=[^|=,]+,? ?)+)\| (.*)")


@dataclass
class Craft:
    """A machine."""
    name: str
    roles: list
    texts: list = field(default_factory=list)
    nots: list = field(default_factory=list)       # what none of its tools does
    refused: object = None                         # refused_lines.Refused
    overheard: list = field(default_factory=list)  # what is heard there and said to nobody, or taken back
    tools: list = field(default_factory=list)      # Archetype
    is_program: bool = False                       # its tools are functions


def read(path):
    """The machines of a file. A fault is told with its line."""
    found, lists = [], {}
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        raw = raw.strip()
        if not raw or raw.startswith("#"):
            continue
        try:
            read_line(found, lists, raw)
        except (ValueError, IndexError, KeyError) as error:
            raise SystemExit(f"{path.name}:{number}: {raw}: {error!r}") from error
    return found


def read_line(found, lists, raw):
    head, _, rest = raw.partition(" ")
    if raw.startswith("@"):
        name, _, roles = raw[1:].partition("|")
        found.append(Craft(name.strip(), banks.items(roles)))
    elif raw.startswith("$"):
        lists[head[1:]] = ",".join(word.strip() for word in re.split(r"(?<!\\),", rest))
    elif raw == "program":
        found[-1].is_program = True
    elif head == "text:":
        found[-1].texts += banks.items(rest)
    elif head == "N":
        found[-1].nots.append(rest.removeprefix("| "))
    elif raw.startswith("["):
        name, _, marks = raw[1:].partition("]")
        keys = {f"{found[-1].name}.{name}": {}} | ({"read": {}} if "read" in marks.split() else {})
        found[-1].tools.append(Archetype(name, "craft", keys=keys))
    elif head == "name":
        found[-1].tools[-1].heads += rest.split()
    elif head == "desc":
        found[-1].tools[-1].descs += [part.strip().rstrip(".") for part in rest.split(" / ")]
    elif head in ("p", "o"):
        found[-1].tools[-1].params.append(read_param(rest, lists, head == "o"))
    elif head == "about":
        role, _, rest = rest.partition(" ")
        if role not in [entry[0] for entry in found[-1].tools[-1].params]:
            raise ValueError(f"no such parameter: {role}")
        found[-1].tools[-1].abouts[role] = [part.strip() for part in rest.split(" / ")]
    elif head in ("I", "Q", "S", "F", "H", "M", "A"):
        fixed = FIXED.fullmatch(rest)
        args = banks.pairs(fixed[1]) if fixed else {}
        text = fixed[2] if fixed else rest.removeprefix("| ")
        parsed(text)
        found[-1].tools[-1].lines.append(Line(head, {role.strip(): value.strip() for role, value in args.items()}, text.strip()))
    else:
        raise ValueError("no such line")


@lru_cache(maxsize=None)
def crafts():
    """All machines, with what was written down for them that they must not act on, and what is said to them aloud."""
    found = [craft for path in sorted(FOLDER.glob("*.txt")) for craft in read(path)]
    refused, spoken = refused_lines.everything(), spoken_lines.everything()
    for craft in found:
        craft.refused = refused.get(craft.name)
        if craft.refused:
            craft.nots += craft.refused.plain["N"]
            for arch in craft.tools:
                arch.lines += [Line("A", {}, text) for name, text in craft.refused.which if name == arch.name]
        if craft.name in spoken:
            craft.overheard = spoken[craft.name].nothing
            for arch in craft.tools:
                arch.lines += [line for name, line in spoken[craft.name].asked if name == arch.name]
    return found


def tool_of(arch, style, names_of, describes=False):
    """A tool with a name, a description, and lines whose fixed arguments are as it declares them; and with descriptions of its parameters."""
    params = [param_of(entry, style, names_of) for entry in arch.params]
    if describes:
        # Somebody who describes parameters does so nearly always, and in one manner.
        for param in params:
            if param.role in arch.abouts and style.rng.random() < 0.9:
                param.spec["description"] = style.meaning(arch.abouts[param.role])
    by_role = {param.role: param for param in params}
    lines = []
    for line in arch.lines:
        if line.kind == "F" and set(re.findall(r"\w+", line.text)) <= ANYTHING:
            continue
        fixed = {}
        for role, text in line.fixed.items():
            param = by_role[role]
            value = value_of(param, text)
            fixed[role] = text if param.kind in SWITCHES else value
        lines.append(Line(line.kind, fixed, line.text))
    own = Archetype(arch.name, "craft", keys=arch.keys, lines=lines)
    return Tool(style.named(style.rng.choice(arch.heads)), style.described(style.rng.choice(arch.descs)), own, params)


def build(rng, craft, tools, left=()):
    """A toolset of these tools of a machine, and what those would be that were left out."""
    style, names_of, built = Style(rng, craft.name, craft.is_program), {}, []
    describes = rng.random() * 100 < (DESCRIBED_PROGRAMS if craft.is_program else DESCRIBED_MACHINES)
    for arch in tools:
        tool = tool_of(arch, style, names_of, describes)
        distinct = len({param.name for param in tool.params}) == len(tool.params)
        if distinct and all(tool.name != other.name for other in built):
            built.append(tool)
    things = [item.name for tool in built for param in tool.params if param.kind == "enum" for item in param.items if not item.number]
    domain = Domain(craft.name, craft.roles, {"dev": things or [craft.name.replace("_", " ")]}, texts=craft.texts, nots=craft.nots, refused=craft.refused, overheard=craft.overheard)
    return Toolset(domain, built, {}, [], [tool_of(arch, style, names_of) for arch in left], craft.is_program)


def part_with(rng, tools):
    """Takes one thing or word out of the enumerations of a machine that has at least two others, so that it can be asked for in vain."""
    listed = [(tool, param) for tool in tools for param in tool.params if param.kind in ("enum", "lit") and not any(item.number for item in param.items)]
    names = sorted({item.name for _, param in listed for item in param.items})
    name = rng.choice(names) if names else None
    own = [(tool, param, item) for tool, param in listed for item in param.items if item.name == name]
    for tool, param, gone in own:
        others = [item for item in param.items if item is not gone]
        alike = any(set(item.name.split()) <= set(name.split()) for item in others)
        lines = [line for line in tool.arch.lines if line.fixed.get(param.role) != gone.token]
        if len(others) < 2 or alike or len(lines) < 4 or param.spec.get("default") == gone.token:
            return
    for tool, param, gone in own:
        param.gone, param.items = gone, [item for item in param.items if item is not gone]
        param.spec["enum"] = [item.token for item in param.items]
        tool.arch.lines = [line for line in tool.arch.lines if line.fixed.get(param.role) != gone.token]


def is_held(craft):
    """Whether a machine is kept out of the training data, so that a check on it tells of machines that were never seen."""
    return crc32(craft.name.encode()) % HELD_EVERY == 0


def draw(rng, held=False, is_program=False):
    """One of the machines or programs, or of those that are held back, with some of its tools left out and in another order."""
    craft = rng.choice([craft for craft in crafts() if is_held(craft) == held and craft.is_program == is_program])
    tools = rng.sample(craft.tools, min(programs.offered(rng), len(craft.tools))) if craft.is_program else chosen(rng, craft.tools)
    toolset = build(rng, craft, tools, [arch for arch in craft.tools if arch not in tools])
    if rng.random() < INCOMPLETE:
        part_with(rng, toolset.tools)
    return toolset


def chosen(rng, tools):
    """Some of a machine's tools, mostly nearly all of them. Of those without parameters there are no more than elsewhere: they are
    the easiest to call, and written down in plenty."""
    fewest = max(FEWEST, len(tools) - 4) if rng.random() < MOSTLY else FEWEST
    count = rng.randint(1, FEWEST - 1) if rng.random() < FEW else rng.randint(min(fewest, len(tools)), len(tools))
    bare, found = max(1, round(MOST_BARE * count)), []
    for arch in rng.sample(tools, len(tools)):
        bare -= not arch.params
        if arch.params or bare >= 0:
            found.append(arch)
    return found[:min(count, MOST)]


def faults(craft):
    """What is wrong with a machine, in words."""
    for arch in craft.tools:
        if not arch.heads or not arch.descs or len(arch.lines) < 4:
            yield f"{craft.name}.{arch.name}: a name, a description or lines are missing"
        else:
            yield from faults_of(craft, arch, arch.lines)


def faults_of(craft, arch, lines):
    """What is wrong with lines of one tool, in words."""
    from asks import Speaker
    where, rng = f"{craft.name}.{arch.name}", random.Random(1)
    try:
        toolset = build(rng, craft, [replace(arch, lines=lines)])
        tool, speaker = toolset.tools[0], Speaker(rng, toolset)
    except (ValueError, KeyError, IndexError) as error:
        if len(lines) == 1:
            yield f"{where}: {lines[0].text}: {error!r}"
        for line in lines if len(lines) > 1 else ():
            yield from faults_of(craft, arch, [line])
        return
    for line in tool.arch.lines:
        try:
            asks = [speaker.ask(tool, line=line) for _ in range(3)]
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            yield f"{where}: {line.kind} {line.text}: {error!r}"
            continue
        met = [speaker.needs_met(ask) for ask in asks]
        if line.kind in "MA" and any(met):
            yield f"{where}: {line.kind} {line.text}: nothing is missing"
        elif line.kind not in "MA" and not all(met):
            yield f"{where}: {line.kind} {line.text}: a required parameter is missing"
        elif re.search(r"[.?!]$", line.text):
            yield f"{where}: {line.text}: it ends with a sign"


if __name__ == "__main__":
    machine_files.check("Checks files of machines.", lambda path: (fault for craft in read(path) for fault in faults(craft)))
