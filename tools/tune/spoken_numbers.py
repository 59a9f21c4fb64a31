"""Numbers, units and times of day as a speech recogniser writes them, in forms that the parser of requests puts right
(`heard` in its lexer).
"""

import re

import ground

ONES, TENS = ground.ONES[1:], ground.TENS[2:]
UNITS = {word for one, many, _ in ground.UNIT_WORDS.values() for word in (one, many) if word.isalpha()} | {"percent", "per"}
TIMES = {"second", "seconds", "minute", "minutes", "hour", "hours", "day", "days", "week", "weeks", "month", "months"}
# Words that numbers and times of day are made of, besides digits.
NUMERIC = set(ground.ONES) | set(TENS) | set("hundred thousand point half quarter quarters dozen minus couple past o'clock am pm noon midnight third thirds fifth fifths tenth tenths".split())
# Units that are said in full.
IN_FULL = {"%": "percent", "°c": "degrees", "kg": "kilos", "g": "grams", "ml": "millilitres", "l": "litres", "min": "minutes", "s": "seconds", "h": "hours",
           "mm": "millimetres", "cm": "centimetres", "m": "metres", "t": "tonnes", "w": "watts", "kw": "kilowatts", "v": "volts", "a": "amps", "k": "kelvin",
           "hz": "hertz", "db": "decibels", "mbar": "millibar"}


def is_number(word):
    return bool(word) and (word[0].isdigit() or word[0] == "-" and word[1:2].isdigit() or word in NUMERIC or word in TIMES)


def small(tokens):
    """The value of one or two words below a hundred."""
    if len(tokens) == 1:
        word = tokens[0]
        return ONES.index(word) + 1 if word in ONES else TENS.index(word) * 10 + 20 if word in TENS else None
    if len(tokens) == 2 and tokens[0] in TENS and tokens[1] in ONES[:9]:
        return small(tokens[:1]) + small(tokens[1:])
    return None


class Numbers:
    """For `Recogniser`."""

    def numbers(self, text):
        """Some numbers in the other of the two ways, units in full, and times without their colons."""
        rng = self.rng
        text = re.sub(r"(?<![\w.:])(-?\d[\d.,]*)( ?)(%|°c|[a-z]+)(?![\w'/])", self.in_full, text)
        text = re.sub(r"(?<!\S)[-−](?=\d)", "minus ", text)
        tokens, out, i = text.split(" "), [], 0
        while i < len(tokens):
            size = next((n for n in (2, 1) if small(tokens[i:i + n]) is not None), 1)
            before, after = tokens[i - 1] if i else "", tokens[i + size] if i + size < len(tokens) else ""
            alone = (not is_number(before) or before in ("past", "minus")) and before not in ("and", "half") and after != "and" and (
                not is_number(after) or after in TIMES | {"past", "o'clock", "am", "pm"})
            out += [self.other_way(tokens[i:i + size], before, after)] if alone else tokens[i:i + size]
            i += size
        tokens = " ".join(out).split(" ")
        for i, word in enumerate(tokens):
            if word in ("am", "pm") and i and is_number(tokens[i - 1]) and "." not in tokens[i - 1] and rng.random() < 0.4:
                tokens[i] = f"{word[0]} m"
        return " ".join(tokens)

    def in_full(self, match):
        number, space, unit = match.groups()
        said = IN_FULL.get(unit, "") if not space or unit not in ("a", "k", "s", "m", "t") else ""
        return f"{number} {said}" if said and self.rng.random() < 0.75 else match[0]

    def other_way(self, tokens, before, after):
        """A number of one or two words in digits, or one in digits in words."""
        rng, word = self.rng, tokens[0]
        value, clock = small(tokens), re.fullmatch(r"(\d{1,2})[:.]([0-5]\d)", word)
        if value is not None:
            # "Past 9 pm" is not read, "past nine pm" is.
            pronoun = value == 1 and after not in UNITS or before in ("past", "to") and after in ("am", "pm")
            return str(value) if not pronoun and rng.random() < (0.5 if value > 12 else 0.25) else " ".join(tokens)
        if clock and (after in ("am", "pm") or ":" in word and before in ("at", "by", "until", "till", "from", "before", "after", "around")):
            if clock[2] == "00":
                return clock[1] if after in ("am", "pm") else word
            # "Two ten am" is not read: ten am is.
            return f"{clock[1]} {clock[2]}" if clock[2] > "12" and rng.random() < 0.6 else f"{clock[1]}:{clock[2]}"
        if re.fullmatch(r"[1-9]\d{0,2}", word) and rng.random() < 0.45:
            said = ground.words(int(word)).replace("-", " ")
            return re.sub(r" hundred and (?=\w+ty)", " ", said) if rng.random() < 0.4 else said
        if re.fullmatch(r"\d{1,2}\.\d", word) and after not in ("am", "pm") and rng.random() < 0.4:
            return f"{ground.words(int(word[:-2]))} point {ground.ONES[int(word[-1])]}".replace("-", " ")
        return " ".join(tokens)

    def sound_of_number(self, tokens):
        """ "For tea percent": only where the parser puts it right."""
        at = lambda i: tokens[i] if 0 <= i < len(tokens) else ""
        found = []
        for i, word in enumerate(tokens):
            before, after = at(i - 1), at(i + 1)
            unit, ends = after in UNITS, i + 1 == len(tokens)
            after_tens = before in TENS
            if re.fullmatch(r"[\d.]+", before) or before in ONES or after in ("and", "point", "hundred", "thousand"):
                continue
            if word == "forty" and (unit or ends):
                found.append((i, "for tea"))
            elif word == "eight" and (unit or after_tens and ends or after in ("in", "o'clock", "am", "pm")):
                found.append((i, "ate"))
            elif word == "one" and (unit or after_tens and ends):
                found.append((i, "won"))
            elif word == "four" and unit and (after not in TIMES or before in ("for", "last", "past", "next")):
                found.append((i, self.rng.choice(["for", "fore"])))
            elif word == "two" and unit and not after_tens:
                found.append((i, self.rng.choice(["to", "too"])))
            elif word == "hour" and before in ("an", "half", "last", "past", "one"):
                found.append((i, "our"))
            elif word == "week" and before in ("last", "past", "a", "one"):
                found.append((i, "weak"))
            elif word == "for" and re.fullmatch(r"\d+", after) and at(i + 2) in TIMES and at(i + 2) not in ("day", "days") and before not in NUMERIC:
                found.append((i, "four"))
        if not found:
            return None
        i, text = self.rng.choice(found)
        return tokens[:i] + [text] + tokens[i + 1:]
