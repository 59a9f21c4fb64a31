"""Reads the data files: domains and archetypes."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass
class Quantity:
    """What a thing is set to, or what a sensor measures."""
    thing: str
    attr: str
    unit: str
    low: float
    high: float


@dataclass
class Domain:
    name: str
    roles: list
    slots: dict = field(default_factory=dict)      # slot -> list of names
    amounts: dict = field(default_factory=dict)    # (slot, name) -> Quantity
    nouns: dict = field(default_factory=dict)      # slot -> what one of them is called
    zone: Quantity | None = None
    jog: Quantity | None = None
    texts: list = field(default_factory=list)
    hints: dict = field(default_factory=dict)      # (key, name) -> indirect sentences
    nots: list = field(default_factory=list)       # what sounds at home there, and no tool does
    refused: object = None                         # refused_lines.Refused
    overheard: list = field(default_factory=list)  # what is heard there and said to nobody, or taken back
    rivals: dict = field(default_factory=dict)     # (key, name) -> what could answer its indirect sentences as well


@dataclass
class Line:
    kind: str
    fixed: dict
    text: str
    unless: frozenset = frozenset()                # keys of other tools that would answer this sentence too


@dataclass
class Archetype:
    name: str
    family: str
    thing: str = ""
    keys: dict = field(default_factory=dict)       # key -> fixed arguments
    weight: float = 1.0
    heads: list = field(default_factory=list)
    nouns: list = field(default_factory=list)
    descs: list = field(default_factory=list)
    params: list = field(default_factory=list)     # (role, kind, default, names)
    lines: list = field(default_factory=list)
    abouts: dict = field(default_factory=dict)     # role -> descriptions of that parameter


def pairs(text):
    return dict(part.split("=") for part in text.split(",") if "=" in part)


def of_thing(text):
    """A line about an item of a list, as it is said of the single thing of a tool."""
    text = re.sub(r"\{how:sensor\}", "{how}", re.sub(r"\{-(device|sensor|material)\}", "{thing}", text))
    text = re.sub(r"\{(device|sensor)\}", "the {thing}", text).replace("{material}", "{thing}")
    return re.sub(r"\{(is|has|does|doesn't):(device|sensor)\}", r"\1", text)


@lru_cache(maxsize=None)
def archetypes():
    """All archetypes. A name that is known already is gone on with: further names, descriptions and lines.

    `[& gate_open; gate_set open=true]` gives its lines to several archetypes, with the arguments that each needs.
    """
    found, shared = [], []
    for path in sorted((HERE / "archetypes").glob("*.txt")):
        for raw in path.read_text("utf-8").splitlines():
            raw = raw.strip()
            if not raw or raw.startswith("#"):
                continue
            if raw.startswith("[&"):
                shared = [(next(known for known in found if known.name == part.split()[0]), pairs(part.partition(" ")[2]))
                          for part in items(raw[2:].rstrip("]"))]
                continue
            if raw.startswith("["):
                shared = []
                name, rest = raw[1:].split("]")
                arch = next((known for known in found if known.name == name), None)
                if arch is None:
                    arch = Archetype(name, path.stem)
                    found.append(arch)
                for part in rest.split():
                    what, _, value = part.partition("=")
                    if what == "thing":
                        arch.thing = value
                    elif what == "w":
                        arch.weight = float(value)
                    elif what == "key":
                        for key in value.split(","):
                            key, _, fixed = key.partition(":")
                            arch.keys[key] = pairs(fixed)
                continue
            head, _, rest = raw.partition(" ")
            if head == "name":
                heads, _, nouns = rest.partition("|")
                arch.heads += heads.split()
                arch.nouns += nouns.split()
            elif head == "desc":
                arch.descs += [part.strip() for part in rest.split(" / ")]
            elif head == "p":
                role, kind, *names = rest.split()
                kind, _, default = kind.partition("=")
                arch.params.append((role, kind, default or None, names))
            else:
                fixed, _, text = rest.partition("| ") if "| " in rest else ("", "", rest)
                if rest.startswith("| "):
                    fixed, text = "", rest[2:]
                fixed = pairs(fixed.strip())
                unless = frozenset(fixed.pop("unless", "").split("+")) - {""}
                for known, more in shared or [(arch, {})]:
                    said = of_thing(text.strip()) if known.thing else text.strip()
                    if shared and any(role == "seconds" for role, *_ in known.params):
                        said = said.replace("{minutes}", "{seconds}")
                    known.lines.append(Line(head, fixed | more, said, unless))
    return found


def items(text):
    return [part.strip() for part in text.split(";") if part.strip()]


def keyed(text):
    """`on drain pump` as ("on", "drain pump")."""
    key, _, item = text.strip().partition(" ")
    return key, item


@lru_cache(maxsize=None)
def domains():
    found = []
    for path in sorted((HERE / "domains").glob("*.txt")):
        for raw in path.read_text("utf-8").splitlines():
            raw = raw.strip()
            if not raw or raw.startswith("#"):
                continue
            if raw.startswith("@"):
                name, _, roles = raw[1:].partition("|")
                domain = next((known for known in found if known.name == name.strip()), None)
                if domain is None:
                    domain = Domain(name.strip(), items(roles))
                    found.append(domain)
                continue
            if raw.startswith("!"):
                left, _, right = raw[1:].partition(" = ")
                domain.hints.setdefault(keyed(left), []).extend(items(right))
                continue
            if raw.startswith("~"):
                near = {keyed(part) for part in items(raw[1:])}
                for one in near:
                    domain.rivals.setdefault(one, set()).update(near - {one})
                continue
            slot, _, rest = raw.partition(": ")
            read_slot(domain, slot, rest)
    return found


def read_slot(domain, slot, rest):
    if slot == "text":
        domain.texts = items(rest)
    elif slot == "jog":
        low, high = rest.split("/")
        domain.jog = Quantity("", "distance", "millimetres", float(low), float(high))
    elif slot == "gate":
        noun, _, names = rest.partition(": ")
        domain.nouns["gate"], domain.slots["gate"] = noun, items(names)
    elif slot == "zone":
        names, _, spec = rest.partition(" | ")
        noun, _, names = names.partition(": ")
        attr, unit, low, high = spec.split("/")
        domain.nouns["zone"], domain.slots["zone"] = noun, items(names)
        domain.zone = Quantity(noun, attr, unit, float(low), float(high))
    elif slot == "set":
        for part in items(rest):
            thing, attr, unit, low, high = re.split("/", part)
            name = f"{thing} {attr}"
            domain.slots.setdefault("set", []).append(name)
            domain.amounts["set", name] = Quantity(thing, attr, unit, float(low), float(high))
    elif slot in ("sens", "mat"):
        for part in items(rest):
            bits = part.split("/")
            unit, low, high = bits[1:4] if len(bits) == 4 else ("", *bits[-2:])
            domain.slots.setdefault(slot, []).append(bits[0])
            domain.amounts[slot, bits[0]] = Quantity(bits[0], bits[0].split()[-1], unit, float(low), float(high))
    else:
        domain.slots[slot] = items(rest)
