"""Draws a toolset: the tools of one machine, in one style of naming, with what can be asked of each."""

import random
import re
from dataclasses import dataclass, field

import banks
from banks import Quantity
from style import Style, slug

HOW = {"temperature": ["how warm is it", "how cold is it", "how hot is it"], "humidity": ["how damp is it", "how humid is it"],
       "moisture": ["how moist is it", "how dry is it", "how wet is it"], "light": ["how bright is it"],
       "pressure": ["how much pressure is there"]}
WARM = set("air water room soil milk bearing blade cellar hall ice panel gearbox ramp cabin cable vault shower tunnel drum mould "
           "melt spindle torch turf digester nave kiln studio bench substrate compost auditorium bearing".split())
# Keys that must not stand beside each other for the same item: both would answer the same sentence.
MUTEX = {"stat": ["avg", "max", "min", "hist"], "hist": ["avg", "stat", "max"], "avg": ["stat", "hist"], "max": ["stat", "hist"],
         "min": ["stat"], "alarmhi": ["limit"], "dose": ["disp"], "disp": ["dose"]}
# Tools that are left out where a domain has words that they would be mistaken for.
CLASH = {"cnt": ("sens", r"count|sold|today|done|served|picks|wagons|trams|puzzles"), "weigh": ("sens", "weight|load"),
         "tare": ("sens", "nothing"), "power": ("sens", "power|load|watt"), "clean": ("prog", "clean|rinse|wash|flush"),
         "mute": ("dev", "horn|siren|bell|alarm"), "beacon": ("dev", "beacon|signal"), "vol": ("set", "volume"),
         "light": ("dev", "light|lamp|spot"), "timer": ("dev", "clock|timer|bell"), "snap": ("dev", "camera"),
         "ann": ("dev", "speaker|loudhailer|microphone"), "maint": ("mode", "maintenance|service"), "energy": ("sens", "energy"),
         "reboot": ("prog", "start up"), "order": ("mat", "nothing")}
BOOLS = {"open": ("openclose",), "on": ("onoff",)}
READS = {"read", "isrun", "isopen", "hours", "powerof", "avg", "max", "min", "hist", "stat", "zread", "zhist", "getset", "left",
         "lastrun", "getmode", "stock", "where", "status", "alarms", "cnt", "weigh", "energy", "power", "find", "phone", "ver",
         "upt", "passes", "export"}


@dataclass
class Item:
    """One word of an enum: how it stands in the declaration, and what people call it."""
    name: str
    token: str
    plural: bool = False
    number: int = 0
    also: tuple = ()    # other names that people have for it


@dataclass
class Param:
    role: str
    name: str
    kind: str
    spec: dict
    items: list = field(default_factory=list)
    tokens: dict = field(default_factory=dict)     # canonical word -> declared value
    quantity: Quantity | None = None
    gone: Item | None = None                       # what such a machine has, and this one does not


@dataclass
class Tool:
    name: str
    description: str
    arch: banks.Archetype
    params: list
    thing: str = ""
    quantity: Quantity | None = None
    attr_needed: bool = False


@dataclass
class Toolset:
    domain: banks.Domain
    tools: list
    pools: dict
    held: list
    left: list = field(default_factory=list)       # tools of such a machine that this one does not have
    is_program: bool = False                       # its tools are functions that bound nothing


def plural(noun):
    if noun.endswith(("ch", "sh", "s", "x")):
        return f"{noun}es"
    if noun.endswith("shelf"):
        return f"{noun[:-1]}ves"
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"


class Builder(Style):
    def __init__(self, rng):
        self.domain = rng.choice(banks.domains())
        super().__init__(rng, self.domain.name)
        self.units = rng.random() < 0.4
        self.claims, self.names = set(), set()
        self.pools, self.singles, self.held = {}, {}, []
        self.param_names = {}
        for slot in ("dev", "gate", "zone", "sens", "prog", "mode", "mat", "place", "alarm", "item"):
            self.draw_pool(slot)

    def draw_pool(self, slot):
        rng = self.rng
        names = list(self.domain.slots.get(slot, []))
        if not names:
            return
        rng.shuffle(names)
        if slot in ("gate", "zone") and rng.random() < 0.15 or slot == "dev" and rng.random() < 0.05:
            noun = self.domain.nouns.get(slot) or rng.choice(["output", "channel", "relay", "socket"])
            most = rng.randint(2, 6)
            form = rng.choice(["{n}", "{n}", "{noun}_{n}"])
            self.pools[slot] = [Item(f"{noun} {n}", form.format(n=n, noun=slug(noun)), False, n) for n in range(1, most + 1)]
            if slot == "dev":
                self.singles[slot] = [name for name in names if not name.endswith("*")][:2]
            return
        most = len(names)
        size = min(most, rng.randint(2, 6)) if slot != "dev" else min(most, rng.randint(2, 4))
        if slot in ("prog", "mode", "item", "place"):
            size = max(2, most - rng.randint(0, 1))
        pool, rest = names[:size], names[size:]
        self.pools[slot] = [Item(name.rstrip("*").replace("_", " "), self.token(name), name.endswith("*")) for name in pool]
        if slot == "dev":
            self.singles[slot] = [n for n in rest[:2] if not n.endswith("*")]
            rest = rest[2:] + [n for n in rest[:2] if n.endswith("*")]
        elif slot in ("sens", "mat"):
            self.singles[slot] = rest[:2] if rng.random() < 0.6 else names
            rest = rest[2:]
        if slot in ("dev", "gate", "mat"):
            self.held += [(slot, name.rstrip("*")) for name in rest]

    def thing_of(self, arch):
        slot = arch.thing
        if slot == "set":
            things = self.domain.slots.get("set", [])
        else:
            things = self.singles.get(slot, [])
        return self.rng.choice(things) if things else None

    def conflicts(self, arch, claims):
        for key, *what in claims:
            if (key, *what) in self.claims or any((other, *what) in self.claims for other in MUTEX.get(key, [])):
                return True
            slot, pattern = CLASH.get(key, ("", ""))
            if slot and any(re.search(pattern, name) for name in self.domain.slots.get(slot, [])):
                return True
        return False

    def build(self, arch):
        """The tool of an archetype, or None where it does not fit here."""
        rng, thing, quantity = self.rng, "", None
        slot = arch.thing
        if slot:
            thing = self.thing_of(arch)
            if not thing:
                return None
            quantity = self.domain.amounts.get((slot, thing))
        words = {"slot": self.domain.nouns.get("gate", "gate"), "role": self.domain.roles[0], "role2": self.domain.roles[1]}
        if slot == "set":
            words |= {"thing": quantity.thing, "attr": quantity.attr, "unit": quantity.unit or "value"}
            note = f", in {quantity.unit.replace('_', ' ')}" if quantity.unit and rng.random() < 0.3 else ""
            words["unitnote"] = note
        elif thing:
            words |= {"thing": thing, "attr": "level", "unit": (quantity and quantity.unit) or "value"}
        zone = self.domain.zone
        if zone:
            note = f", in {zone.unit.replace('_', ' ')}" if rng.random() < 0.3 else ""
            words |= {"zslot": zone.thing, "zattr": zone.attr, "zunit": zone.unit, "zunitnote": note}
        elif any("zone" in kind or kind == "num:zone" for _, kind, _, _ in arch.params):
            return None
        items_of = [kind[5:] for _, kind, _, _ in arch.params if kind.startswith("enum:")]
        if any(slot not in self.pools or len(self.pools[slot]) < 2 for slot in items_of):
            return None
        if arch.name in ("lock", "unlock", "lock_set") and not re.search(r"door|gate$|hatch|locker|drawer|cage|kennel", words["slot"]):
            return None
        if arch.name == "jog" and not self.domain.jog or arch.name == "speed_lit" and any(
                thing in name for name in self.domain.slots.get("set", [])):
            return None
        if arch.name.startswith("prog_") and "prog" not in self.pools or arch.name.startswith("mode_") and "mode" not in self.pools:
            return None
        if arch.name in ("where", "home") and "place" not in self.pools or arch.name == "ack" and "alarm" not in self.pools and rng.random() < 0.5:
            return None
        if not arch.params and "thing" not in words and arch.thing:
            return None
        claims = set()
        for key in arch.keys:
            if items_of:
                claims |= {(key, items_of[0], item.name) for item in self.pools[items_of[0]]}
            else:
                claims.add((key, slot, thing) if slot else (key,))
        if self.conflicts(arch, claims):
            return None
        words["munit"] = "value"
        params = [self.param(arch, entry, words, quantity) for entry in arch.params]
        if any(param is None for param in params):
            return None
        if len({param.name for param in params}) < len(params):
            return None
        name = self.name(arch, words)
        if not name:
            return None
        self.claims |= claims
        description = self.fill(rng.choice(arch.descs), words)
        description = self.described(description)
        twins = [q for q in self.domain.amounts.items() if q[0][0] == "set" and quantity and q[1].thing == quantity.thing]
        return Tool(name, description, arch, params, thing, quantity, slot == "set" and len(twins) > 1)

    def fill(self, text, words):
        text = re.sub(r"\{(z?slot)\}s\b", lambda m: plural(words.get(m[1], "")), text)
        return re.sub(r"\{(\w+)\}", lambda m: words.get(m[1], ""), text).replace("_", " ")

    def name(self, arch, words):
        rng = self.rng
        for _ in range(8):
            head = rng.choice(arch.heads) if arch.heads else ""
            noun = rng.choice(arch.nouns) if arch.nouns else ""
            noun = slug(re.sub(r"\{(\w+)\}", lambda m: words.get(m[1], ""), noun).replace(" ", "_"))
            order = self.order if self.order != "mixed" else rng.choice(["verb", "noun"])
            if head.split("_")[0] in ("is", "what", "which", "how", "at", "after"):
                order = "verb"
            if not noun or noun == head:
                name = head
            elif noun.startswith(f"{head}_") or noun.endswith(f"_{head}"):
                name = noun
            elif rng.random() < 0.12 and arch.family in ("settings", "readings"):
                name = noun
            else:
                name = f"{head}_{noun}" if order == "verb" else f"{noun}_{head}"
            name = self.named(name)
            if name not in self.names and 2 < len(name) < 40 and name != "none":
                self.names.add(name)
                return name
        return None

    def param(self, arch, entry, words, quantity):
        rng = self.rng
        role, kind, default, names = entry
        names = [slug(self.fill(name, words)) or "value" for name in names]
        what, *args = kind.split(":")
        shared = (what, args[0] if what == "enum" else role)
        if shared in self.param_names and self.param_names[shared] in names and rng.random() < 0.8:
            name = self.param_names[shared]
        else:
            name = self.param_names[shared] = rng.choice(names)
        param = Param(role, name, what, {})
        if what == "enum":
            param.items = self.pools[args[0]]
            param.spec = {"enum": [item.token for item in param.items]}
        elif what in ("onoff", "openclose"):
            yes, no = ("on", "off") if what == "onoff" else ("open", "closed")
            if what == "openclose" and (name == "open" or rng.random() < 0.35):
                param.spec, param.tokens = {"type": "boolean"}, {"true": True, "false": False}
                if name != "open":
                    param.name = "open"
            elif what == "openclose":
                words_of = rng.choice([("open", "closed"), ("open", "close"), ("open", "shut")])
                param.spec, param.tokens = {"enum": list(words_of)}, {"true": words_of[0], "false": words_of[1]}
            elif rng.random() < 0.15:
                param.name = rng.choice(["on", "enabled", "active"])
                param.spec, param.tokens = {"type": "boolean"}, {"on": True, "off": False}
            else:
                order = [yes, no] if rng.random() < 0.8 else [no, yes]
                param.spec, param.tokens = {"enum": order}, {yes: yes, no: no}
        elif what == "bool":
            param.spec, param.tokens = {"type": "boolean"}, {"true": True, "false": False}
        elif what == "lit":
            values = args[0].split(",")
            param.spec, param.tokens = {"enum": values}, {value: value for value in values}
            param.items = [Item(value.capitalize() if arch.name == "language" else value.replace("_", " "), value) for value in values]
        elif what == "time":
            param.spec = {"type": "string", "format": "time"}
        elif what == "text":
            param.spec = {"type": "string", "max_length": rng.choice([120, 160, 200, 500]), "verbatim": True}
            param.kind, param.tokens = "text", {"bank": args[0]}
        else:
            param.quantity = self.quantity(what, args, quantity)
            if param.quantity is None:
                return None
            param.spec = self.number_spec(param.quantity)
        if default:
            param.spec["default"] = int(default) if default.isdigit() else default
        return param

    def quantity(self, what, args, own):
        if what in ("dur", "span", "span2"):
            low, high = float(args[1]), float(args[2])
            high = self.rng.choice([high, high, high / 2]) if high > 60 else high
            return Quantity("", "span" if what == "span" else "duration", args[0], low, float(int(high)))
        if what == "count":
            return Quantity("", "count", "", float(args[0]), float(args[1]))
        if what == "pct":
            return Quantity("", "share", "percent", 0.0, 100.0)
        source = args[0]
        if source == "zone":
            return self.domain.zone
        if source == "jog":
            return self.domain.jog
        if source == "mat":
            units = {self.domain.amounts["mat", item.name].unit for item in self.pools["mat"] if ("mat", item.name) in self.domain.amounts}
            if len(units) != 1:
                # One tool gives one unit: only the materials of the commonest stay.
                return None
            those = [self.domain.amounts["mat", item.name] for item in self.pools["mat"]]
            return Quantity("", "amount", units.pop(), min(q.low for q in those), max(q.high for q in those))
        return own

    def number_spec(self, q):
        whole = q.low == int(q.low) and q.high == int(q.high)
        fine = q.unit in ("celsius", "bar", "kilograms", "litres", "tonnes", "metres", "kilowatts", "amps", "hours") and q.high - q.low <= 100
        integer = whole and not (fine and q.attr not in ("duration", "span") and self.rng.random() < 0.6)
        spec = {"type": "integer" if integer else "number", "min": q.low, "max": q.high}
        if q.unit:
            spec["unit"] = q.unit
        return spec


def draw(rng):
    """One toolset."""
    while True:
        builder = Builder(rng)
        wanted = rng.choices(range(4, 15), [4, 6, 8, 10, 10, 10, 9, 9, 8, 5, 4])[0]
        if "mat" in builder.pools:
            keep_one_unit(builder)
        tools, pool = [], banks.archetypes()
        weights = {arch.name: arch.weight * (0.4 if arch.family == "common" else 1) for arch in pool}
        for _ in range(150):
            if len(tools) >= wanted:
                break
            arch = rng.choices(pool, [weights[a.name] for a in pool])[0]
            tool = builder.build(arch)
            if tool is None:
                continue
            tools.append(tool)
            # Tools of one kind come together, as in real machines; the same one seldom comes twice.
            for other in pool:
                if other.family == arch.family and other.family != "common":
                    weights[other.name] *= 1.15
            weights[arch.name] *= 0.25
        if len(tools) >= 4:
            rng.shuffle(tools) if rng.random() < 0.7 else tools.sort(key=lambda tool: tool.arch.family)
            return Toolset(builder.domain, tools, builder.pools, builder.held)


def keep_one_unit(builder):
    amounts = builder.domain.amounts
    by_unit = {}
    for item in builder.pools["mat"]:
        by_unit.setdefault(amounts["mat", item.name].unit, []).append(item)
    builder.pools["mat"] = max(by_unit.values(), key=len)


def kind_of(spec):
    """A parameter as the prompt shows it."""
    if "enum" in spec:
        return "|".join(spec["enum"])
    if spec.get("type") == "array":
        return f"[{kind_of(spec['items'])}]"
    if spec.get("format") == "time":
        name = "time"
    else:
        name = {"string": "text", "integer": "int", "number": "number", "boolean": "true|false"}[spec.get("type", "string")]
    unit = f" {spec['unit']}" if "unit" in spec else ""
    if "min" in spec and "max" in spec:
        plain = [str(int(v)) if v == int(v) else repr(v) for v in (spec["min"], spec["max"])]
        return f"{name} {plain[0]}..{plain[1]}{unit}"
    return f"{name}{unit}"


RULES = ("You control a machine. Answer each request with the one call that does it, with its name and () if a value is missing, "
         "or with none() if no tool fits.\nTools:\n")


def member(name, spec):
    """A parameter as the program renders it: `unit?: km|miles (of the result)`."""
    mark = "?" if spec.get("optional") or "default" in spec else ""
    meaning = " ".join(spec.get("description", "").split()).rstrip(" .")
    return f"{name}{mark}: {kind_of(spec)}" + (f" ({meaning})" if meaning else "")


def prompt(declared):
    """The system text, as the program renders it."""
    lines = [f"- {tool['name']}({', '.join(member(name, spec) for name, spec in tool['params'].items())}): {tool['description']}"
             for tool in declared]
    return (RULES + "\n".join(lines)).rstrip()


def declared(toolset):
    """The tools as plain data, in declared order; notes, because training never performs them."""
    def tidy(spec):
        return {k: (int(v) if isinstance(v, float) and v == int(v) else v) for k, v in spec.items()}
    return [{"name": tool.name, "description": tool.description, "kind": "note", "params": {p.name: tidy(p.spec) for p in tool.params}}
            for tool in toolset.tools]


def main():
    toolset = draw(random.Random(1))
    print(prompt(declared(toolset)))


if __name__ == "__main__":
    main()
