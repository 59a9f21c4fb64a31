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
        return rng.choice([f"{words(whole)} and a half", f"{words(whole)} point five", f"{int(whole)} and a half", f"{int(whole)} 1/2", f"{int(whole)}½"])
    if part == 0.25 and whole and roll < 0.5:
        return f"{words(whole)} and a quarter"
    if not part and roll < 0.12 and (short := in_short(whole)):
        return rng.choice(short)
    if part and roll < 0.3 and round(part * 10) == part * 10:
        return f"{words(whole)} point {ONES[round(part * 10)]}"
    if not part and roll < 0.42 and words(value):
        return words(value).replace("-", " ") if rng.random() < 0.4 else words(value)
    if value >= 1000 and not part and roll > 0.8:
        return f"{int(value):,}"
    return plain(value)


def in_short(value):
    """Other ways to say a whole number: "two fifty", "fifteen hundred", "a hundred", "a thousand"."""
    value = int(value)
    head, rest = divmod(value, 100)
    if value in (100, 1000):
        return [f"a {words(value).split()[1]}"]
    if head < 10 and head and rest >= 20:
        return [f"{words(head)} {words(rest)}", f"{words(head)} hundred {words(rest)}"]
    if 11 <= head < 100 and head % 10 and not rest:
        return [f"{words(head)} hundred"]
    return []


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
    if unit == "celsius" and value % 5 == 0 and rng.random() < 0.04:
        return f"{int(value * 9 / 5 + 32)} {rng.choice(['degrees fahrenheit', 'fahrenheit', '°F'])}".replace(" °", "°")
    if value < 0 and unit == "celsius" and value == int(value) and rng.random() < 0.3:
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
    smaller = {"kilograms": ("grams", "g"), "litres": ("millilitres", "ml"), "kilowatts": ("watts", "W"), "metres": ("centimetres", "cm"), "bar": ("millibar", "mbar"), "tonnes": ("kilos", "kg")}
    if unit in smaller and value < 3 and value % 0.25 == 0 and rng.random() < 0.5:
        return f"{plain(value * (100 if unit == 'metres' else 1000))} {rng.choice(smaller[unit])}"
    if unit in ("kilograms", "litres", "tonnes", "metres") and value in (0.5, 1.5):
        one, many, _ = UNIT_WORDS[unit]
        return f"half a {one}" if value < 1 else rng.choice([f"one and a half {many}", f"a {one} and a half"])
    if unit == "kilometres_per_hour" and value % 18 == 0 and value or unit == "metres_per_second" and value % 5 == 0 and value:
        return f"{plain(value / 3.6)} m/s" if unit == "kilometres_per_hour" else f"{plain(value * 3.6)} km/h"
    larger = {"grams": ("kilo", "kilos"), "millilitres": ("litre", "litres"), "millimetres": ("metre", "metres"),
              "watts": ("kilowatt", "kilowatts"), "kilograms": ("tonne", "tonnes"), "millibar": ("bar", "bar")}.get(unit)
    if unit == "centimetres" and value > 100 and value % 10 == 0 and value % 100:
        whole = words(value // 100)
        return f"{whole} {'metre' if value < 200 else 'metres'} {words(value % 100)}"
    if unit == "millimetres" and value % 10 == 0 and value < 1000:
        return f"{plain(value / 10)} {rng.choice(['cm', 'centimetres'])}"
    if not larger:
        return None
    share = value / 1000
    parts = {0.5: f"half a {larger[0]}", 0.25: f"a quarter of a {larger[0]}", 1.0: f"a {larger[0]}",
             1.5: rng.choice([f"one and a half {larger[1]}", f"a {larger[0]} and a half"]), 2.5: f"two and a half {larger[1]}", 0.75: f"three quarters of a {larger[0]}"}
    if share in parts:
        return parts[share]
    return f"{bare(rng, share)} {larger[1]}" if share >= 1 and share * 10 == int(share * 10) else None


def duration(rng, value, unit):
    """A span of time."""
    seconds = value * {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}[unit]
    special = {30: ["half a minute", "thirty seconds"], 45: ["three quarters of a minute"], 60: ["a minute", "one minute", "1 minute", "a full minute"],
               90: ["a minute and a half", "ninety seconds", "one and a half minutes"], 120: ["two minutes", "a couple of minutes"], 150: ["two and a half minutes"],
               900: ["a quarter of an hour", "fifteen minutes", "quarter of an hour", "a quarter hour"], 600: ["ten minutes", "10 mins"],
               1800: ["half an hour", "half an hour", "thirty minutes", "a half hour"], 2700: ["three quarters of an hour", "45 minutes"],
               3600: ["an hour", "one hour", "1 hour", "a full hour", "60 minutes"], 4500: ["an hour and a quarter", "one and a quarter hours"],
               5400: ["an hour and a half", "one and a half hours", "90 minutes", "1.5 hours", "1 1/2 hours"], 7200: ["two hours", "a couple of hours", "2h", "2 hrs"],
               9000: ["two and a half hours", "2.5 hours"], 10800: ["three hours", "180 minutes"], 43200: ["half a day", "twelve hours"],
               86400: ["a day", "one day", "24 hours"], 129600: ["a day and a half"], 172800: ["two days", "a couple of days", "48 hours"],
               604800: ["a week", "seven days", "one week"], 1209600: ["a fortnight", "two weeks"], 1814400: ["three weeks"], 2592000: ["a month", "thirty days"]}
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
    if unit == "days" and value > 7 and value % 7 == 0 and rng.random() < 0.3:
        return f"{bare(rng, value // 7)} weeks"
    if rng.random() < 0.06:
        return rng.choice(["about {v}", "roughly {v}", "exactly {v}", "{v} or so"]).replace("{v}", f"{bare(rng, value)} {UNIT_WORDS[unit][value != 1]}")
    one, many, short = UNIT_WORDS[unit]
    if short and rng.random() < 0.15:
        return f"{plain(value)} {short}"
    return f"{bare(rng, value)} {one if value == 1 else many}"


def past(rng, value, unit):
    """A span that ends now, as what stands after "over" or "in"."""
    hours = value * {"minutes": 1 / 60, "hours": 1, "days": 24}[unit]
    named = {24: "day", 168: "week", 720: "month" if unit == "days" else None, 1: "hour", 336: "fortnight"}.get(hours)
    lead = rng.choice(["the last", "the past", "the last"] + (["the previous", "these last"] if value != 1 else ["this past"]))
    if named and rng.random() < 0.6:
        return f"{rng.choice(['the last', 'the past', 'this past'])} {named}"
    if unit == "hours" and value >= 48 and value % 24 == 0 and rng.random() < 0.5:
        return f"{lead} {bare(rng, value // 24)} days"
    if value == 1:
        return f"{lead} {UNIT_WORDS[unit][0]}"
    if value == 12 and unit == "days" and rng.random() < 0.2:
        return "the last dozen days"
    if hours == 36 and rng.random() < 0.4:
        return "the last day and a half"
    if hours == 48 and rng.random() < 0.3:
        return "the last couple of days"
    return f"{lead} {bare(rng, value) if value < 50 else plain(value)} {UNIT_WORDS[unit][1]}"


def clock(rng, hour, minute):
    """A time of day as what stands after "at"; always with what tells the half of the day. Seldom put right while it is said."""
    said = time_of_day(rng, hour, minute)
    if rng.random() < 0.03 and not said.startswith(("half", "quarter", "a ")):
        wrong = rng.choice([n for n in range(1, 12) if n != (hour - 1) % 12 + 1])
        return f"{rng.choice([words(wrong), str(wrong)])}, {rng.choice(['no', 'no, wait,', 'sorry,', 'or rather', 'I mean'])} {said}"
    return said


def time_of_day(rng, hour, minute):
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
        options += [f"{twelve} sharp {day}", f"{twelve} {day}"] + (["8 o'clock tonight", "eight tonight"] if hour == 20 else [])
        options += [f"{twelve}{half}", f"{twelve} {half}", f"{name} {day}", f"{name} o'clock {day}", f"{name} {half}"] * 2
    elif minute == 30 and hour:
        options += [f"half past {name} {day}", f"half {name} {day}", f"{name} thirty {half}"] * 2
    elif minute in (15, 45):
        after = words(twelve % 12 + 1)
        if hour not in (11, 23, 12, 0):
            options += [f"{rng.choice(['quarter past', 'a quarter past', 'quarter after'])} {name} {day}" if minute == 15 else f"{rng.choice(['', 'a '])}quarter to {after} {day if hour not in (17, 21) else 'pm'}"] * 3
    elif minute in (10, 20, 5) and hour not in (0, 12):
        options += [f"{words(minute)} past {name} {day}", f"{words(minute)} past {name} {half}"]
    elif minute in (50, 40, 55, 35) and hour not in (11, 23, 12, 0, 17, 21):
        options += [f"{words(60 - minute)} to {words(twelve % 12 + 1)} {day}"] * 2
    return rng.choice(options)
