"""Arguments of programs: texts, numbers and lists that a request says and no declaration bounds.

What a machine is told has ranges, units and words of its own. Functions of a service or a library often have none
of them: `find_rooms(city: text, nights: int)`, `mean(values: [number])`.
"""

import json

import ground

# Kinds of parameters in files of programs, and how they are declared.
SPECS = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "float": {"type": "number"},
    "strs": {"type": "array", "items": {"type": "string"}}, "ints": {"type": "array", "items": {"type": "integer"}},
    "floats": {"type": "array", "items": {"type": "number"}},
}
# Kinds whose values are drawn here; a `set` is a list of an enumeration's words.
DRAWN = {*SPECS, "set"}
# How many functions of a program are offered, and how often.
OFFERED = {1: 30, 2: 15, 3: 15, 4: 15, 6: 10, 8: 10, 10: 5}
# What lies within is a year, or the like, and is neither rounded nor parted.
YEARS = range(1000, 2200)
# Of a hundred numbers, those that are said in words where they are small, those that have a comma in their thousands, and large
# ones that are told in millions.
IN_WORDS, WITH_COMMA = 12, 45
IN_MILLIONS = 50


def amount(rng, low, high, whole):
    """A number that somebody would name: small ones as often as large ones."""
    low, high = float(low), float(high)
    span = high - low
    if is_year(low, high):
        return float(rng.randint(int(low), int(high)))
    if span > 200 and low >= 0:
        value = max(low, 1.0) * (high / max(low, 1.0)) ** rng.random()
    else:
        value = low + span * rng.random()
    if not whole:
        value = round(value, rng.choice([0, 1, 1, 2]))
    elif value >= 100 and rng.random() < 0.6:
        step = 10 ** (len(str(int(value))) - rng.choice([1, 2, 2]))
        value = round(value / step) * step
    return min(max(float(round(value, 2) if not whole else round(value)), low), high)


def is_year(low, high):
    return low in YEARS and high in YEARS


def amount_text(rng, value, plainly=False):
    """A number as it is said; plainly: as it is written in the call."""
    plain = ground.plain(value)
    millions = ground.plain(round(value / 1e6, 4))
    if value >= 1e6 and float(millions) * 1e6 == value and len(millions) < 6 and not plainly and rng.random() * 100 < IN_MILLIONS:
        return f"{millions} million"
    if value == int(value) and 0 < value <= 12 and not plainly and rng.random() * 100 < IN_WORDS:
        return ground.words(int(value))
    if value >= 1000 and value == int(value) and not plainly and rng.random() * 100 < WITH_COMMA:
        return f"{int(value):,}"
    return plain


def listing(rng, said, is_text=False):
    """Several values, as they are listed in a sentence."""
    if len(said) == 1:
        return said[0]
    if rng.random() < 0.3:
        quote = rng.choice(["", "'", '"']) if is_text else ""
        return f"[{', '.join(quote + text + quote for text in said)}]"
    last = rng.choice([" and ", " and ", ", and " if len(said) > 2 else " and ", ", "])
    return f"{', '.join(said[:-1])}{last}{said[-1]}"


def draw(rng, param):
    """An argument, and how it is said."""
    kind, details = param.kind, param.tokens.get("details")
    if kind == "str":
        value = rng.choice(details)
        return value, value
    if kind == "strs":
        among, (fewest, most) = details[:-2], map(int, details[-2:])
        values = rng.sample(among, min(rng.randint(fewest, most), len(among)))
        return values, listing(rng, values, is_text=True)
    if kind == "set":
        fewest, most = param.tokens["sizes"]
        words = rng.sample(param.tokens["words"], min(rng.randint(fewest, most), len(param.tokens["words"])))
        return [word.token for word in words], listing(rng, [rng.choice([word.name, word.name, *word.also]) for word in words])
    whole = kind in ("int", "ints")
    if kind in ("int", "float"):
        value = amount(rng, *details, whole)
        return value, amount_text(rng, value, is_year(*map(float, details)))
    low, high, fewest, most = details
    values = [amount(rng, low, high, whole) for _ in range(rng.randint(int(fewest), int(most)))]
    return values, listing(rng, [amount_text(rng, value, plainly=True) for value in values])


def written(value):
    """An argument in the compact syntax."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else ground.plain(value)


ORDERS = ["{s}"] * 8 + ["please {s}", "can you {s}", "could you {s}", "{s}, please", "I need you to {s}", "I would like you to {s}"]


def sentence(rng, kind, text):
    """As somebody types it."""
    if kind == "I":
        text = rng.choice(ORDERS).replace("{s}", text)
    asks = kind == "Q" or text.startswith(("can you", "could you"))
    # What begins with a value begins as the value does.
    begins = text[0] if text[0].islower() and rng.random() < 0.25 else text[0].upper()
    return begins + text[1:] + rng.choice(["?", "?", "?", ""] if asks else [".", ".", ""])


def offered(rng):
    return rng.choices(list(OFFERED), list(OFFERED.values()))[0]
