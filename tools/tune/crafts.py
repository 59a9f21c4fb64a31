#!/usr/bin/env python3
"""Machines that were written down whole: tools of their own kind, and sentences for each (files in `crafts`).

Archetypes lend the same wording to all domains; here nearly every tool is the only one of its kind. Of a machine that
is drawn some tools are left out, and each gets one of its names and descriptions. The format is that of the archetypes,
with what they draw from a domain written in place: `p role things:left door,right door~stable door names...`.
"""

import argparse
import random
import re
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from zlib import crc32

import banks
from banks import Archetype, Domain, Line, Quantity
from ground import UNIT_WORDS
from phrases import parsed
from style import Style, slug
from toolsets import Item, Param, Tool, Toolset

FOLDER = banks.HERE / "crafts"
FEWEST, MOST = 5, 14
# How often at most four tools are left out, and the share of tools without parameters.
MOSTLY = 0.7
MOST_BARE = 0.25
# A fragment of such words alone could be said of any tool with a switch.
ANYTHING = set("on off in out up down go stop start run open close shut pause more less again now please yes no back high low".split())
# The most numbered things that are declared one by one; more are declared as a whole number.
MOST_NAMED = 8
# One machine of so many is held back.
HELD_EVERY = 10
# A line's fixed arguments stand before " | ".
FIXED = re.compile(r"((?:\w+=[^|=,]+,? ?)+)\| (.*)")
SWITCHES = ("onoff", "openclose", "bool")


@dataclass
class Craft:
    """A machine."""
    name: str
    roles: list
    texts: list = field(default_factory=list)
    nots: list = field(default_factory=list)       # what none of its tools does
    tools: list = field(default_factory=list)      # Archetype


def read(path):
    """The machines of a file. A fault is told with its line."""
    found = []
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        raw = raw.strip()
        if not raw or raw.startswith("#"):
            continue
        try:
            read_line(found, raw)
        except (ValueError, IndexError, KeyError) as error:
            raise SystemExit(f"{path.name}:{number}: {raw}: {error!r}") from error
    return found


def read_line(found, raw):
    head, _, rest = raw.partition(" ")
    if raw.startswith("@"):
        name, _, roles = raw[1:].partition("|")
        found.append(Craft(name.strip(), banks.items(roles)))
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
        found[-1].tools[-1].descs += [part.strip() for part in rest.split(" / ")]
    elif head == "p":
        found[-1].tools[-1].params.append(read_param(rest))
    elif head in ("I", "Q", "S", "F", "H", "M", "A"):
        fixed = FIXED.fullmatch(rest)
        args = banks.pairs(fixed[1]) if fixed else {}
        text = fixed[2] if fixed else rest.removeprefix("| ")
        parsed(text)
        found[-1].tools[-1].lines.append(Line(head, {role.strip(): value.strip() for role, value in args.items()}, text.strip()))
    else:
        raise ValueError("no such line")


def read_param(rest):
    """(role, kind, its details, default, names). Names of things may have spaces; what follows them has none."""
    role, _, rest = rest.partition(" ")
    kind, colon, details = re.match(r"(\w+)(:?)(.*)", rest).groups()
    if kind in ("things", "words"):
        # What a thing is called may have spaces: the names of the parameter begin where its role stands last.
        words = details.split(" ")
        begins = max((at for at, word in enumerate(words) if word == role and at), default=None)
        if begins is None:
            raise ValueError(f"the first name of the parameter has to be its role, {role}")
        details, names = " ".join(words[:begins]).split(","), words[begins:]
        details[-1], _, default = details[-1].partition("=")
    else:
        details, *names = (details if colon else rest.removeprefix(kind)).split(" ")
        details, _, default = details.partition("=")
        details = details.split(":")
    return role, kind, details, default or None, names or [role]


@lru_cache(maxsize=None)
def crafts():
    """All machines."""
    return [craft for path in sorted(FOLDER.glob("*.txt")) for craft in read(path)]


def items_of(kind, details, style):
    if kind == "nth":
        noun, low, high = details
        form = style.rng.choice(["{n}", "{n}", "{n}", "{noun}_{n}"])
        return [Item(f"{noun} {n}", form.format(n=n, noun=slug(noun)), False, n) for n in range(int(low), int(high) + 1)]
    names = [[word.strip().replace("_", " ") for word in part.split("~")] for part in details]
    return [Item(name, style.token(name), False, 0, tuple(also)) for name, *also in names]


def quantity_of(kind, details):
    if kind == "pct":
        return Quantity("", "share", "percent", 0.0, 100.0)
    if kind == "count":
        return Quantity("", "count", "", *map(float, details))
    if kind not in ("value", "dur"):
        return None
    unit, low, high = details
    if unit not in UNIT_WORDS:
        raise ValueError(f"no such unit: {unit}")
    return Quantity("", "duration" if kind == "dur" else "value", unit, float(low), float(high))


def param_of(entry, style, names_of):
    """A declared parameter. The same role has the same name throughout a machine, where it may."""
    role, kind, details, default, names = entry
    name = names_of.get(role)
    if name not in names:
        name = names_of[role] = style.rng.choice(names)
    param = Param(role, name, kind, {})
    if kind in ("things", "words", "nth"):
        param.items = items_of(kind, details, style)
        param.kind = "lit" if kind == "words" else "enum"
        param.spec = {"enum": [item.token for item in param.items]}
        if kind == "nth" and (len(param.items) > MOST_NAMED or style.rng.random() < 0.3):
            param.items = [replace(item, token=str(item.number)) for item in param.items]
            param.spec = {"type": "integer", "min": param.items[0].number, "max": param.items[-1].number}
    elif kind in SWITCHES:
        param.spec = {"enum": ["on", "off"]} if kind == "onoff" else {"type": "boolean"}
        param.tokens = {"on": "on", "off": "off"} if kind == "onoff" else {"true": True, "false": False}
    elif kind == "time":
        param.spec = {"type": "string", "format": "time"}
    elif kind == "text":
        param.spec = {"type": "string", "max_length": style.rng.choice([120, 160, 200, 500]), "verbatim": True}
        param.tokens = {"bank": details[0]}
    else:
        param.quantity = quantity_of(kind, details)
        if param.quantity is None:
            raise ValueError(f"no such kind: {kind}")
        whole = param.quantity.low == int(param.quantity.low) and param.quantity.high == int(param.quantity.high)
        fine = kind == "value" and param.quantity.unit in ("celsius", "bar", "kilograms", "litres", "metres", "") and param.quantity.high <= 100
        kind = "integer" if whole and not (fine and style.rng.random() < 0.4) else "number"
        param.spec = {"type": kind, "min": param.quantity.low, "max": param.quantity.high}
        if param.quantity.unit:
            param.spec["unit"] = param.quantity.unit
    if default:
        param.spec["default"] = value_of(param, default)
    return param


def value_of(param, text):
    """A fixed value as it stands in a call."""
    if param.items:
        plain = text.replace("_", " ")
        for item in param.items:
            if plain == item.name or plain in item.also or text == str(item.number or ""):
                return item.token
        raise ValueError(f"no such {param.role}: {text}")
    if param.quantity is not None:
        return float(text)
    if param.tokens and "bank" not in param.tokens:
        return param.tokens[text]
    return text


def tool_of(arch, style, names_of):
    """A tool with a name, a description, and lines whose fixed arguments are as it declares them."""
    params = [param_of(entry, style, names_of) for entry in arch.params]
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
    style, names_of, built = Style(rng, craft.name), {}, []
    for arch in tools:
        tool = tool_of(arch, style, names_of)
        distinct = len({param.name for param in tool.params}) == len(tool.params)
        if distinct and all(tool.name != other.name for other in built):
            built.append(tool)
    things = [item.name for tool in built for param in tool.params if param.kind == "enum" for item in param.items if not item.number]
    domain = Domain(craft.name, craft.roles, {"dev": things or [craft.name.replace("_", " ")]}, texts=craft.texts, nots=craft.nots)
    return Toolset(domain, built, {}, [], [tool_of(arch, style, names_of) for arch in left])


def is_held(craft):
    """Whether a machine is kept out of the training data, so that a check on it tells of machines that were never seen."""
    return crc32(craft.name.encode()) % HELD_EVERY == 0


def draw(rng, held=False):
    """One of the machines, or of those that are held back, with some of its tools left out and in another order."""
    craft = rng.choice([craft for craft in crafts() if is_held(craft) == held])
    tools = chosen(rng, craft.tools)
    return build(rng, craft, tools, [arch for arch in craft.tools if arch not in tools])


def chosen(rng, tools):
    """Some of a machine's tools, mostly nearly all of them. Of those without parameters there are no more than elsewhere: they are
    the easiest to call, and written down in plenty."""
    fewest = max(FEWEST, len(tools) - 4) if rng.random() < MOSTLY else FEWEST
    count = rng.randint(min(fewest, len(tools)), len(tools))
    bare, found = max(1, round(MOST_BARE * count)), []
    for arch in rng.sample(tools, len(tools)):
        bare -= not arch.params
        if arch.params or bare >= 0:
            found.append(arch)
    return found[:min(count, MOST)]


def faults(craft):
    """What is wrong with a machine, in words."""
    from asks import Speaker
    rng = random.Random(1)
    for arch in craft.tools:
        where = f"{craft.name}.{arch.name}"
        if not arch.heads or not arch.descs or len(arch.lines) < 4:
            yield f"{where}: a name, a description or lines are missing"
            continue
        try:
            toolset = build(rng, craft, [arch])
            tool, speaker = toolset.tools[0], Speaker(rng, toolset)
        except (ValueError, KeyError, IndexError) as error:
            yield f"{where}: {error!r}"
            continue
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


def main():
    parser = argparse.ArgumentParser(description="Checks files of machines.")
    parser.add_argument("--check", nargs="+", required=True, metavar="FILE")
    wrong = [fault for path in parser.parse_args().check for craft in read(banks.Path(path)) for fault in faults(craft)]
    print("\n".join(wrong) or "no faults")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
