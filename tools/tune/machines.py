"""The six machines that are known word for word: their files, with wording for each tool."""

import re
import tomllib
from dataclasses import replace
from functools import lru_cache

import banks
from banks import Archetype, Domain, Line, Quantity
from toolsets import Item, Param, Tool, Toolset

FOLDER = banks.HERE.parents[1] / "tests" / "exam" / "machines"
ROLES = {"greenhouse": ["gardener", "technician"], "workshop": ["foreman", "electrician"], "house": ["owner", "plumber"],
         "irrigation": ["gardener", "plumber"], "heatpump": ["owner", "installer"], "barn": ["farmer", "vet"]}
ZONES = {"house": ("room", "temperature", "celsius", 10.0, 28.0), "irrigation": ("bed", "moisture", "percent", 5.0, 80.0)}
OWN_SLOT = {"greenhouse": "greenhouse", "workshop": "workshop", "house": "house", "irrigation": "irrigation", "heatpump": "heat_pump", "barn": "barn"}


@lru_cache(maxsize=None)
def wording():
    """(machine.tool) -> its settings and its own lines."""
    found, lines = {}, None
    for raw in (banks.HERE / "machines.txt").read_text("utf-8").splitlines():
        raw = raw.strip()
        if raw.startswith("["):
            name, rest = raw[1:].split("]")
            lines = []
            found[name] = (dict(part.split("=") for part in rest.split()), lines)
        elif raw and not raw.startswith("#"):
            head, _, rest = raw.partition(" ")
            fixed, text = ("", rest[2:]) if rest.startswith("| ") else rest.split(" | ", 1)
            lines.append(Line(head, banks.pairs(fixed.strip()), text.strip()))
    return found


def param_of(name, role, spec, history):
    """A declared parameter, with what the speaker has to know of it."""
    if "enum" in spec:
        words = spec["enum"]
        if set(words) == {"on", "off"}:
            return Param(role, name, "onoff", spec, [], {word: word for word in words})
        items = [Item(f"{name} {word}", word, False, int(word)) if word.isdigit() else Item(word.replace("_", " ") + (" gate" if name == "machine" else ""), word, word.endswith("s") and name in ("pen", "bed"))
                 for word in words]
        return Param(role, name, "lit" if name in ("lamp", "level") else "enum", spec, items, {word: word for word in words} if name in ("lamp", "level") else {})
    if spec.get("type") == "boolean":
        return Param(role, name, "openclose", spec, [], {"true": True, "false": False})
    if spec.get("format") == "time":
        return Param(role, name, "time", spec)
    if spec.get("verbatim"):
        return Param(role, name, "text", spec, [], {"bank": "fault" if name == "reason" else "log"})
    unit = spec.get("unit", "")
    attr = "span" if history else "duration" if unit in ("seconds", "minutes", "days") else "count" if name == "passes" else "value"
    if unit == "hours" and not history:
        attr = "value"
    return Param(role, name, "num", spec, [], {}, Quantity("", attr, unit, 2.0 if attr == "count" else float(spec["min"]), float(spec["max"])))


@lru_cache(maxsize=None)
def load(name):
    """The tools of a machine."""
    declared = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))["tool"]
    archetypes = {arch.name: arch for arch in banks.archetypes()}
    tools = []
    for entry in declared:
        settings, own = wording()[f"{name}.{entry['name']}"]
        settings = dict(settings)
        used = archetypes.get(settings.pop("use", ""))
        thing = settings.pop("thing", "").replace("+", " ")
        attr, unit = settings.pop("attr", thing.split()[-1] if thing else ""), settings.pop("unit", "")
        only = settings.pop("only", "")
        roles = {param: role for role, param in settings.items() if role not in ("role", "role2")}
        history = bool(re.search(r"average|history|used", entry["name"]))
        params = [param_of(key, roles.get(key, key), spec, history) for key, spec in entry.get("params", {}).items()]
        own = [Line(line.kind, line.fixed, re.sub(r"\{(-?)(\w+)\}", lambda m: "{" + m[1] + roles.get(m[2], m[2]) + "}", line.text)) for line in own]
        lines = own + ([] if only or used is None else used.lines)
        keys = used.keys if used else {"read": {}} if re.match(r"read|tank_level|trough_level|door_status|soil_history|weigh|room_temp", entry["name"]) else {entry["name"]: {}}


        arch = Archetype(used.name if used else entry["name"], used.family if used else "machine", used.thing if used else "", keys, 1.0, [], [], [], [], lines)
        quantity = next((replace(p.quantity, thing=thing, attr=attr) for p in params if p.quantity), None) or Quantity(thing, attr, unit, 0.0, 0.0)
        tools.append(Tool(entry["name"], entry["description"], arch, params, thing, quantity))
    return tools


@lru_cache(maxsize=None)
def domain(name):
    own = next(d for d in banks.domains() if d.name == OWN_SLOT[name])
    amounts = dict(own.amounts)
    for tool in load(name):
        for param in tool.params:
            for item in param.items:
                amounts["sens", item.name] = Quantity(item.name, item.name, "percent" if item.name == "humidity" else "celsius", 0.0, 1.0)
    zone = Quantity(*ZONES[name]) if name in ZONES else own.zone
    return Domain(name, ROLES[name], {"dev": own.slots["dev"]}, amounts, {"gate": {"workshop": "blast gate", "irrigation": "valve"}.get(name, "door")}, zone,
                  None, own.texts, {})


def draw(rng):
    """One of the machines, with some of its tools left out and in another order."""
    name = rng.choice(sorted(ROLES))
    every = load(name)
    tools = list(every)
    if rng.random() < 0.5:
        tools = rng.sample(tools, rng.randint(max(4, len(tools) - 4), len(tools)))
    return Toolset(domain(name), tools, {}, [], [tool for tool in every if tool not in tools])
