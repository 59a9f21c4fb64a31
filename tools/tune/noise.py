"""What a speech recogniser makes of a sentence: no signs, other words of the same sound, hesitation, words that are
lost, joined, parted or doubled, and numbers as words or digits.

What decides between two tools, items or values stays as it was said: `KEPT`, and names that have a near neighbour.
"""

import re
from functools import lru_cache

import banks
from phrases import MARK_OPEN, SOUNDS, outside_marks
from sounds import JOINED, NAMES, VERBS
from spoken_numbers import NUMERIC, ONES, TENS, TIMES, UNITS, Numbers, is_number

# What must be understood as it is: it decides what is done, when, or whether at all.
KEPT = NUMERIC | UNITS | TIMES | set(
    "on off no not don't won't can't never nobody nothing none if when unless once until till from at in for by before after every each daily "
    "open opened close closed shut lock unlock locked up down in out left right north south east west front back upper lower top bottom inner "
    "outer middle centre hot cold warm cool day night first second third fourth fifth sixth last next other instead rather without only yet "
    "above below over under between more less higher most least full maximum minimum average mean highest lowest forget anything already was "
    "were will did do does is are has have tomorrow yesterday today morning afternoon evening stop start and or but entry exit inlet outlet "
    "previous litre litres kilo kilos gram grams metre metres degree degrees celsius centigrade cent zero fifths fahrenheit".split())
HESITATIONS = ["um", "uh", "er", "erm", "hm", "um", "uh"]
STARTS = ["um", "uh", "so", "erm", "okay so", "yeah so", "right so", "well", "oh", "hey um", "ah", "er yeah", "okay", "so yeah", "uh okay", "alright", "like"]
INSIDE = HESITATIONS * 2 + ["like", "you know", "like um", "uh you know"]
ENDS = ["yeah", "you know", "okay", "thanks", "um", "please yeah", "thank you", "and yeah", "uh"]


def distance(a, b):
    """How many letters differ."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def without_signs(text):
    """Lower case, and no signs but those inside numbers and words."""
    text = re.sub(r"\b([ap])\.m\b\.?", r"\1m", text)
    # "Three: twenty" must not become 320.
    text = re.sub(rf"\b({'|'.join(ONES[:9])})[,:;]? (?=({'|'.join(ONES[9:] + TENS)})\b)", lambda m: f"{ONES.index(m[1]) + 1} " if m[0][-2] in ",:;" else m[0], text.lower())
    text = re.sub(r"[?!;\"]|[.,](?=\s|$|[\x01\x02])|(?<!\w)[:](?!\w)|:(?=\s)|[:](?=[\x01])", " ", text.lower())
    tens = "|".join(TENS)
    return re.sub(r" +", " ", re.sub(rf"\b({tens})-(?=\w)", r"\1 ", text)).strip()


@lru_cache(maxsize=None)
def lexicon():
    """The words of all banks: what a long word may come apart into."""
    return {word for domain in banks.domains() for names in domain.slots.values() for name in names for word in re.split(r"[\W_]+", name) if len(word) > 2} - KEPT


class Recogniser(Numbers):
    """Hears sentences about one machine. `names` are the words of its items, `known` all words that it uses."""

    def __init__(self, rng, names, known):
        self.rng, self.names, self.known = rng, names - {"the", "of"}, known
        # What a damaged name must stay away from.
        self.rivals = {word for word in names if len(word) > 2}

    def heard(self, text, changes=None):
        """The sentence as it is written down, with one change or some."""
        rng = self.rng
        text = outside_marks(without_signs(text), self.numbers)
        wanted = rng.choices([1, 2, 3, 4], [30, 35, 22, 13])[0] if changes is None else changes
        ways, weights = zip(*self.ways().items())
        for _ in range(wanted * 3):
            if wanted <= 0:
                break
            way = rng.choices(ways, weights)[0]
            changed = self.changed(text, way)
            if changed and changed != text and len(changed) < len(text) + 40:
                text, wanted = changed, wanted - 1
        return text

    def ways(self):
        return {self.filler: 22, self.verb: 22, self.sound_of_number: 14, self.dropped: 12, self.joined: 7, self.parted: 4,
                self.doubled: 6, self.restarted: 8, self.cut: 4, self.name: 8, self.elided: 5}

    def changed(self, text, way):
        """One change, before any verbatim text; the words of that are not touched."""
        head, mark, tail = text.partition(MARK_OPEN)
        tokens = head.split()
        if len(tokens) < 2:
            return None
        changed = way(tokens)
        return changed and re.sub(r" +", " ", f"{' '.join(changed)} {mark}{tail}").strip()

    def free(self, tokens):
        """Where a word may change: it is no number, name or word that decides."""
        return [i for i, word in enumerate(tokens) if word.isalpha() and word not in KEPT and word not in self.names]

    def filler(self, tokens):
        rng, roll = self.rng, self.rng.random()
        if roll < 0.4:
            return [rng.choice(STARTS)] + tokens
        if roll < 0.5:
            return tokens + [rng.choice(ENDS)] if not is_number(tokens[-1]) else None
        places = [i for i in range(1, len(tokens)) if tokens[i] not in UNITS and not is_number(tokens[i - 1]) and tokens[i - 1] not in (
            "at", "from", "until", "till", "by", "between", "of", "a", "an", "last", "after", "before", "past", "quarter", "no", "not", "on", "off", "around", "to", "and")]
        i = rng.choice(places) if places else 0
        return tokens[:i] + [rng.choice(INSIDE)] + tokens[i:] if i else None

    def verb(self, tokens):
        """A common word as another one of its sound, unless the machine has that word for something."""
        text = f" {' '.join(tokens)} "
        found = [(said, heard) for said, ways in VERBS.items() for heard in ways if f" {said} " in text
                 and not any(word in self.known and word not in said.split() for word in heard.split())
                 and not any(word in self.names and word not in KEPT for word in said.split())]
        found = [(said, heard) for said, heard in found if not (said == "the" and re.search(r" the (last|past|hour|day|week|second|first|third)\b", text))]
        found += [(said, heard) for said, heard in SOUNDS.items() if f" {said} " in text and said not in KEPT and said not in self.names and heard not in self.known
                  and said not in ("the", "know", "need", "right", "new", "wait")]
        if not found:
            return None
        rare = [pair for pair in found if pair[0] == "the"]
        said, heard = self.rng.choice([pair for pair in found if pair not in rare] or rare) if self.rng.random() < 0.93 else self.rng.choice(found)
        if said == "the" and self.rng.random() < 0.8:
            return None
        return text.replace(f" {said} ", f" {heard} ", 1).split()

    def dropped(self, tokens):
        """A small word goes that nothing hangs on."""
        found = []
        for i, word in enumerate(tokens):
            before, after = tokens[i - 1] if i else "", tokens[i + 1] if i + 1 < len(tokens) else ""
            if word in ("the", "a") and after and not is_number(after) and after not in UNITS | {"first", "second", "third", "fourth", "fifth", "sixth", "bit", "little", "last", "past", "full", "whole", "fifth", "tenth", "other", "one"}:
                found.append(i)
            elif word == "to" and re.fullmatch(r"\d+%?|\w+ty", after) and (i + 2 == len(tokens) or tokens[i + 2] in UNITS) and before.isalpha() and not is_number(before) and before not in ("down", "up", "over", "ten", "go", "back"):
                found.append(i)
            elif word == "of" and before in UNITS and after not in ("us", "a", "an", "the"):
                found.append(i)
            elif word in ("you", "me", "some") and i and before in ("can", "could", "would", "give", "tell", "show", "get"):
                found.append(i)
        if not found:
            return None
        i = self.rng.choice(found)
        return tokens[:i] + tokens[i + 1:]

    def joined(self, tokens):
        text = " ".join(tokens)
        found = [pair for pair in JOINED if re.search(rf"\b{pair} (?!morning|afternoon|evening|last|past)", text)]
        found += [f"{a} {b}" for a, b in zip(tokens, tokens[1:]) if a.isalpha() and b.isalpha() and a in self.names and b in self.names
                  and not {a, b} & (NUMERIC | UNITS | {"on", "off", "in", "the", "and"}) and f"{a}{b}" not in self.known]
        if not found:
            return None
        pair = self.rng.choice(found)
        return re.sub(rf"\b{pair}\b", pair.replace(" ", ""), text, count=1).split()

    def parted(self, tokens):
        """ "Green house": a long word in two that are words."""
        found = [(i, word[:at], word[at:]) for i, word in enumerate(tokens) if len(word) > 6 and word.isalpha()
                 for at in range(3, len(word) - 2) if word[:at] in lexicon() and word[at:] in lexicon()]
        if not found:
            return None
        i, head, tail = self.rng.choice(found)
        return tokens[:i] + [head, tail] + tokens[i + 1:]

    def doubled(self, tokens):
        able = [i for i in self.free(tokens) if len(tokens[i]) < 7 and (i == 0 or tokens[i - 1] != tokens[i] and not is_number(tokens[i - 1]))]
        if not able:
            return None
        i = self.rng.choice(able)
        return tokens[:i + 1] + tokens[i:]

    def restarted(self, tokens):
        """The first words once more: "turn on the turn on the lamp"."""
        most = min(4, len(tokens) - 1)
        size = self.rng.randint(1, most)
        head = tokens[:size]
        if any(is_number(word) or word in self.names or word in ("no", "not", "don't", "never", "stop") for word in head) or head[-1] in ("and", "one"):
            return None
        return head + ([self.rng.choice(HESITATIONS + ["no", "wait"][1:])] if self.rng.random() < 0.35 else []) + tokens

    def cut(self, tokens):
        """A word is begun, and begun again."""
        able = [i for i in range(len(tokens)) if tokens[i].isalpha() and len(tokens[i]) > 4 and not is_number(tokens[i]) and (i == 0 or not is_number(tokens[i - 1]))]
        if not able:
            return None
        i = self.rng.choice(able)
        begun = tokens[i][:self.rng.choice([2, 2, 3])]
        if begun in KEPT | UNITS | {"of", "so", "an", "am", "as", "sec", "min", "deg", "mil", "kil", "we", "he", "be"} or begun in self.known:
            return None
        return tokens[:i] + [begun] + tokens[i:]

    def elided(self, tokens):
        """The last sound of a word is not heard: "jus", "wan", "an"."""
        able = [i for i in self.free(tokens) if re.search(r"(nd|st|ct|ft|pt|ld|nt|rt|sk)$", tokens[i]) and len(tokens[i]) > 3 and tokens[i][:-1] not in self.known | KEPT]
        able += [i for i in self.free(tokens) if tokens[i].endswith("ing") and len(tokens[i]) > 5 and tokens[i][:-1] not in self.known]
        if not able:
            return None
        i = self.rng.choice(able)
        return tokens[:i] + [tokens[i][:-1]] + tokens[i + 1:]

    def name(self, tokens):
        """The name of a thing, damaged: nothing else of this machine may be called nearly so."""
        found = []
        for i, word in enumerate(tokens):
            if word in self.names and word not in KEPT:
                for heard in [NAMES.get(word, "")] + ([word[:-1]] if len(word) > 5 and not word.endswith("ss") else []):
                    if heard and self.is_safe(word, heard):
                        found.append((i, heard))
        if not found:
            return None
        i, heard = self.rng.choice(found)
        return tokens[:i] + [heard] + tokens[i + 1:]

    def is_safe(self, word, heard):
        own = distance(word, heard.replace(" ", ""))
        if any(part in self.known and part != word for part in heard.split()):
            return False
        return own <= 3 and all(distance(heard.replace(" ", ""), other) >= own + 2 for other in self.rivals if other not in (word, word + "s", word.rstrip("s")))
