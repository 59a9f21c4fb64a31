"""Values as people say them, in forms that the parser of requests reads back.

The generator knows the value that it puts in; each function here writes it out. Forms that the parser does
not handle (hours of the day above twelve in words, gallons, "twelve-ish") are left out on purpose.
"""

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen").split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()

# Short and long words of a unit, singular and plural.
UNIT_WORDS = {
    "seconds": ("second", "seconds", "s"), "minutes": ("minute", "minutes", "min"),
    "hours": ("hour", "hours", "h"), "days": ("day", "days", ""),
    "celsius": ("degree", "degrees", "°C"), "percent": ("percent", "percent", "%"),
    "degrees": ("degree", "degrees", "°"), "grams": ("gram", "grams", "g"),
    "kilograms": ("kilo", "kilos", "kg"), "tonnes": ("tonne", "tonnes", "t"),
    "millilitres": ("millilitre", "millilitres", "ml"), "litres": ("litre", "litres", "l"),
    "millimetres": ("millimetre", "millimetres", "mm"), "centimetres": ("centimetre", "centimetres", "cm"),
    "metres": ("metre", "metres", "m"), "rpm": ("rpm", "rpm", "rpm"), "bar": ("bar", "bar", "bar"),
    "millibar": ("millibar", "millibar", "mbar"), "watts": ("watt", "watts", "W"),
    "kilowatts": ("kilowatt", "kilowatts", "kW"), "volts": ("volt", "volts", "V"),
    "amps": ("amp", "amps", "A"), "hertz": ("hertz", "hertz", "Hz"), "lux": ("lux", "lux", "lux"),
    "ppm": ("ppm", "ppm", "ppm"), "decibels": ("decibel", "decibels", "dB"),
    "metres_per_second": ("metre per second", "metres per second", "m/s"),
    "kilometres_per_hour": ("kilometre per hour", "kilometres per hour", "km/h"),
    "kilowatt_hours": ("kilowatt hour", "kilowatt hours", "kWh"),
    "kelvin": ("kelvin", "kelvin", "K"), "": ("", "", ""),
}
# Units whose long words the parser reads as one unit; the others are said in the short form.
SHORT_ONLY = {"metres_per_second", "kilometres_per_hour", "kilowatt_hours"}


def words(value):
    """A whole number up to 9999 in words, or None."""
    if value != int(value) or abs(value) > 9999:
        return None
    value = int(value)
    if value < 0:
        return f"minus {words(-value)}"
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")
    if value < 1000:
        rest = f" and {words(value % 100)}" if value % 100 else ""
        return f"{ONES[value // 100]} hundred{rest}"
    rest = value % 1000
    joined = "" if not rest else f" and {words(rest)}" if rest < 100 else f" {words(rest)}"
    return f"{words(value // 1000)} thousand{joined}"


def plain(value):
    """A number as the call syntax writes it."""
    value = round(value, 4)
    return str(int(value)) if value == int(value) else repr(value)


def bare(rng, value):
    """A number without its unit."""
    whole, part = divmod(abs(value), 1)
    roll = rng.random()
    if value < 0:
        spelled = words(value) or f"minus {plain(-value)}"
        return rng.choice([plain(value), spelled, f"minus {plain(-value)}"])
    if part == 0.5 and whole and roll < 0.5:
        return rng.choice([f"{words(whole)} and a half", f"{words(whole)} point five", f"{int(whole)} and a half"])
    if part and roll < 0.3 and round(part * 10) == part * 10:
        return f"{words(whole)} point {ONES[round(part * 10)]}"
    if not part and roll < 0.42 and words(value):
        return words(value).replace("-", " ") if rng.random() < 0.4 else words(value)
    if value >= 1000 and not part and roll > 0.8:
        return f"{int(value):,}"
    return plain(value)


def spoken(rng, value, unit):
    """A number with its unit, or in another unit of the same kind, or without one."""
    one, many, short = UNIT_WORDS[unit]
    if unit in ("seconds", "minutes", "hours", "days"):
        return duration(rng, value, unit)
    roll = rng.random()
    if unit == "percent" and roll < 0.12 and value in (50, 25, 75):
        return {50: "half", 25: "a quarter", 75: "three quarters"}[value]
    converted = in_other_unit(rng, value, unit) if roll < 0.3 else None
    if converted:
        return converted
    if unit in SHORT_ONLY:
        return f"{plain(value)} {short}"
    if value < 0 and unit == "celsius" and value == int(value) and rng.random() < 0.2:
        return f"{words(-value)} {rng.choice(['', 'degrees '])}below zero".replace("degrees below", "below")
    if not unit or (unit in ("percent", "celsius", "rpm", "lux") and roll > 0.8):
        return bare(rng, value)
    if short and roll > 0.6:
        return plain(value) + rng.choice(["", " "] if unit not in ("rpm", "lux", "ppm", "bar", "millibar") else [" "]) + short
    if unit == "celsius" and rng.random() < 0.3:
        return f"{bare(rng, value)} {rng.choice(['degrees celsius', 'degrees centigrade', 'celsius'])}"
    if unit == "percent" and rng.random() < 0.2:
        return f"{bare(rng, value)} per cent"
    return f"{bare(rng, value)} {one if value == 1 else many}"


def in_other_unit(rng, value, unit):
    """The value in a larger unit or as a part of one, where that comes out round."""
    larger = {"grams": ("kilo", "kilos"), "millilitres": ("litre", "litres"), "millimetres": ("metre", "metres"),
              "watts": ("kilowatt", "kilowatts"), "kilograms": ("tonne", "tonnes")}.get(unit)
    if unit == "centimetres" and value > 100 and value % 10 == 0 and value % 100:
        whole = words(value // 100)
        return f"{whole} {'metre' if value < 200 else 'metres'} {words(value % 100)}"
    if unit == "millimetres" and value % 10 == 0 and value < 1000:
        return f"{plain(value / 10)} {rng.choice(['cm', 'centimetres'])}"
    if not larger:
        return None
    share = value / 1000
    parts = {0.5: f"half a {larger[0]}", 0.25: f"a quarter of a {larger[0]}", 1.0: f"a {larger[0]}",
             1.5: f"one and a half {larger[1]}", 0.75: f"three quarters of a {larger[0]}"}
    if share in parts:
        return parts[share]
    return f"{bare(rng, share)} {larger[1]}" if share >= 1 and share * 10 == int(share * 10) else None


def duration(rng, value, unit):
    """A span of time."""
    seconds = value * {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}[unit]
    special = {30: ["half a minute", "thirty seconds"], 60: ["a minute", "one minute", "1 minute"], 90: ["a minute and a half", "ninety seconds"],
               120: ["two minutes", "a couple of minutes"], 900: ["a quarter of an hour", "fifteen minutes"],
               1800: ["half an hour", "half an hour", "thirty minutes"], 2700: ["three quarters of an hour", "45 minutes"],
               3600: ["an hour", "one hour", "1 hour"], 5400: ["an hour and a half", "one and a half hours", "90 minutes"],
               7200: ["two hours", "a couple of hours"], 9000: ["two and a half hours"],
               86400: ["a day", "one day"], 172800: ["two days", "a couple of days"], 604800: ["a week", "seven days"],
               1209600: ["a fortnight", "two weeks"]}
    if seconds in special and rng.random() < 0.6:
        return rng.choice(special[seconds])
    if unit == "minutes" and value > 60 and value % 60 and rng.random() < 0.5:
        hours = int(value // 60)
        head = "an hour" if hours == 1 else f"{words(hours)} hours"
        return f"{head} and {bare(rng, value % 60)} minutes"
    if unit == "seconds" and value >= 120 and value % 60 == 0 and rng.random() < 0.6:
        return f"{bare(rng, value // 60)} minutes"
    if unit == "hours" and value >= 48 and value % 24 == 0 and rng.random() < 0.6:
        return f"{bare(rng, value // 24)} days"
    one, many, short = UNIT_WORDS[unit]
    if short and rng.random() < 0.15:
        return f"{plain(value)} {short}"
    return f"{bare(rng, value)} {one if value == 1 else many}"


def past(rng, value, unit):
    """A span that ends now, as what stands after "over" or "in"."""
    hours = value * {"minutes": 1 / 60, "hours": 1, "days": 24}[unit]
    named = {24: "day", 168: "week", 720: "month" if unit == "days" else None, 1: "hour", 336: "fortnight"}.get(hours)
    lead = rng.choice(["the last", "the past", "the last"])
    if named and rng.random() < 0.6:
        return f"{lead} {named}"
    if unit == "hours" and value >= 48 and value % 24 == 0 and rng.random() < 0.5:
        return f"{lead} {bare(rng, value // 24)} days"
    if value == 1:
        return f"{lead} {UNIT_WORDS[unit][0]}"
    return f"{lead} {bare(rng, value) if value < 50 else plain(value)} {UNIT_WORDS[unit][1]}"


def clock(rng, hour, minute):
    """A time of day as what stands after "at"; always with what tells the half of the day."""
    if (hour, minute) == (12, 0) and rng.random() < 0.7:
        return rng.choice(["noon", "midday"])
    if (hour, minute) == (0, 0):
        return "midnight" if rng.random() < 0.8 else "00:00"
    twelve = (hour - 1) % 12 + 1
    half = "am" if hour < 12 else "pm"
    day = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening" if hour < 22 else "at night"
    if hour < 5 and hour:
        day = "in the morning"
    options = [f"{hour:02}:{minute:02}"] * 3 + [f"{twelve}:{minute:02} {half}", f"{twelve}.{minute:02} {half}"]
    name = words(twelve)
    if minute == 0:
        options += [f"{twelve}{half}", f"{twelve} {half}", f"{name} {day}", f"{name} o'clock {day}", f"{name} {half}"] * 2
    elif minute == 30 and hour:
        options += [f"half past {name} {day}", f"half {name} {day}", f"{name} thirty {half}"] * 2
    elif minute in (15, 45):
        after = words(twelve % 12 + 1)
        if hour not in (11, 23, 12, 0):
            options += [f"quarter past {name} {day}" if minute == 15 else f"{rng.choice(['', 'a '])}quarter to {after} {day if hour not in (17, 21) else 'pm'}"] * 3
    elif minute in (10, 20, 5) and hour not in (0, 12):
        options += [f"{words(minute)} past {name} {day}"] * 2
    return rng.choice(options)
