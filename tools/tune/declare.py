"""Parameters of machines and programs that were written down whole: `p side things:left door,right door~stable door side`."""

import re
from dataclasses import replace

import programs
from banks import Quantity
from ground import UNIT_WORDS
from style import slug
from toolsets import Item, Param

# The most numbered things that are declared one by one; more are declared as a whole number.
MOST_NAMED = 8
SWITCHES = ("onoff", "openclose", "bool")


def read_param(rest, lists, optional=False):
    """(role, kind, its details, default, names, optional). Names of things may have spaces; what follows them has none."""
    role, _, rest = rest.partition(" ")
    rest = re.sub(r"\$(\w+)", lambda found: lists[found[1]], rest)
    kind, colon, details = re.match(r"(\w+)(:?)(.*)", rest).groups()
    if kind in ("things", "words", "str", "strs", "set"):
        # What a thing is called may have spaces: the names of the parameter begin where its role stands last.
        words = details.split(" ")
        begins = max((at for at, word in enumerate(words) if word == role and at), default=None)
        if begins is None:
            raise ValueError(f"the first name of the parameter has to be its role, {role}")
        details, names = re.split(r"(?<!\\),", " ".join(words[:begins])), words[begins:]
        details[-1], _, default = details[-1].partition("=")
    else:
        details, *names = (details if colon else rest.removeprefix(kind)).split(" ")
        details, _, default = details.partition("=")
        details = details.split(":")
    if kind in ("strs", "set"):
        last, fewest, most = details[-1].split(":")
        details[-1:] = [last, fewest, most]
    return role, kind, [part.strip().replace("\\,", ",") for part in details], default or None, names or [role], optional


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
    role, kind, details, default, names, optional = entry
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
    elif kind in programs.SPECS:
        param.spec, param.tokens = dict(programs.SPECS[kind]), {"details": details}
    elif kind == "set":
        *among, fewest, most = details
        words = items_of(kind, among, style)
        param.spec = {"type": "array", "items": {"enum": [word.token for word in words]}}
        param.tokens = {"words": words, "sizes": (int(fewest), int(most))}
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
    if optional:
        param.spec["optional"] = True
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
    if param.kind in ("int", "float"):
        return float(text)
    if param.kind in SWITCHES:
        return param.tokens[text]
    return text
