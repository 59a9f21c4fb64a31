"""Wording: a small template grammar, what people wrap around an order, refusals, and the noise of speech."""

import re
from functools import lru_cache



MARK_OPEN, MARK_CLOSE = "\x01", "\x02"


@lru_cache(maxsize=None)
def parsed(template):
    """A template as nested sequences: str, or a tuple of alternatives."""
    def sequence(at):
        out, text = [], ""
        while at < len(template) and template[at] not in "|)":
            if template[at] == "(":
                out.append(text)
                text, ways, at = "", [], at + 1
                while True:
                    way, at = sequence(at)
                    ways.append(way)
                    if template[at] == ")":
                        break
                    at += 1
                out.append(tuple(ways))
            else:
                text += template[at]
            at += 1
        out.append(text)
        return out, at
    return sequence(0)[0]


def expand(rng, template):
    """One of the texts of a template: `(a|b|)` chooses."""
    def of(parts):
        return "".join(part if isinstance(part, str) else of(rng.choice(part)) for part in parts)
    return re.sub(r" +", " ", of(parsed(template))).strip()


POLITE = [
    "please {i}", "{i} please", "{i}, please", "could you {i}?", "could you please {i}?", "can you {i}?",
    "can you {i} for me?", "would you {i}?", "will you {i} please?", "I'd like you to {i}", "I want you to {i}",
    "I need you to {i}", "go ahead and {i}", "{i} for me", "{i} now", "{i} now, please", "would you mind {g}?",
    "do me a favour and {i}", "do me a favor and {i}", "be so kind and {i}", "kindly {i}", "you can {i} now",
    "time to {i}", "we need to {i}", "any chance you could {i}?", "if you could {i}, that would be great",
    "it would help if you could {i}", "let's {i}", "I would like to {i}", "may I ask you to {i}?", "how about {g}?",
    "quickly {i}", "just {i}", "okay, {i}", "right, {i}", "hey, {i}", "hello, {i}", "now {i}", "you should {i}",
    "please to {i}", "you must {i} please", "we have to {i}", "{i} if you can", "{i}, would you?", "{i}, thanks",
    "could somebody {i}?", "be a dear and {i}", "I think we should {i}", "why don't you {i}?", "mind {g}?",
    "next, {i}", "first of all, {i}", "go and {i}", "see that you {i}", "I'd appreciate it if you could {i}",
]
TIMED = (" now", "time to", "right,")
ASK = ["{q}?"] * 5 + ["{q}"] * 2 + ["tell me, {q}?", "quick question: {q}?", "excuse me, {q}?", "hey, {q}?", "so {q}?",
                                   "{q} please?", "do you know, {q}?", "{q} at the moment?", "sorry, {q}?"]
FILLERS = ["um", "uh", "er", "erm", "hm", "well", "so", "okay so", "yeah", "oh", "like", "you know"]
SOUNDS = {"their": "there", "there": "their", "your": "you're", "whether": "weather", "here": "hear", "the": "da",
          "right": "write", "would": "wood", "need": "knead", "know": "no", "please": "pleas", "new": "knew",
          "some": "sum", "it's": "its", "too": "to", "through": "threw", "great": "grate", "wait": "weight"}


# Verbs of one syllable that double their last letter, and others that do.
SHORT = re.compile(r"(?:[^aeiou]|qu)*[aeiou][bdfgklmnprtz]")
DOUBLED = set("reset preset offset begin forbid forget admit transmit permit omit transfer unplug unpin unbar crosscut defog format program "
              "cancel travel label total signal spiral level shovel swivel".split())


def gerund(order):
    """`turn on the fan` becomes `turning on the fan`."""
    verb, _, rest = order.partition(" ")
    if not verb.isalpha() or verb in ("at", "never"):
        return None
    if SHORT.fullmatch(verb) or verb in DOUBLED:
        stem = verb + verb[-1]
    elif verb.endswith("ie"):
        stem = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith("ee") and verb != "be":
        stem = verb[:-1]
    else:
        stem = verb
    return f"{stem}ing {rest}".strip()


def wrap_order(rng, order, bare_share=0.42, has_time=False):
    """An order as one person or another would put it."""
    # What does not begin with its verb goes behind no "could you".
    if rng.random() < bare_share or re.match(r"(don't|no|not|never|the|an?|both|all|it|that|this|there)\b", order):
        return order
    for _ in range(8):
        way = rng.choice(POLITE)
        if (has_time or order.endswith(("now", "please"))) and any(word in way for word in TIMED):
            continue
        if order.startswith("let") and "let's" in way or "for me" in way and re.search(r"\b(me|us)\b", order):
            continue
        if re.match(r"(get|give|show|tell|let) (me|us)\b", order) and re.match(r"(I would like to|let's|we |I think we|how about|time to|you must)", way):
            continue
        if "{g}" in way:
            doing = gerund(order)
            if not doing:
                continue
            return way.replace("{g}", doing)
        return way.replace("{i}", order)
    return order


def wrap_question(rng, question):
    way = rng.choice(ASK)
    if "at the moment" in way and re.search(r"\b(now|last|past|right now|today|currently|set|supposed|moment|yet)\b", question):
        way = "{q}?"
    if way.startswith("do you know"):
        way = "{q}?"
    return way.replace("{q}", question)


def finish(rng, text, ends="."):
    """A first capital and a last sign, as careful writers set them; others leave them out."""
    text = re.sub(r"\s+([,.?!])", r"\1", text.strip())
    roll = rng.random()
    if roll < 0.62:
        text = text[:1].upper() + text[1:]
    if not text.endswith(("?", ".", "!", MARK_CLOSE)) and roll < 0.45:
        text += ends
    if roll > 0.9:
        text = text.rstrip("?.!")
    return text


def outside_marks(text, change):
    """Applies a change to what is not said verbatim."""
    parts = re.split(f"({MARK_OPEN}.*?{MARK_CLOSE})", text)
    return "".join(part if part.startswith(MARK_OPEN) else change(part) for part in parts)


def outside_first(text, change):
    head, mark, tail = text.partition(MARK_OPEN)
    return change(head) + mark + tail


def slip(rng, text, keep):
    """A typing error, a doubled word or a word that sounds the same. Words in `keep` and digits stay."""
    def change(part):
        tokens = part.split(" ")
        able = [i for i, word in enumerate(tokens) if word.isalpha() and word.lower() not in keep]
        if not able:
            return part
        kind = rng.random()
        sounds = [i for i in able if tokens[i].lower() in SOUNDS and tokens[i] != "the"]
        if kind < 0.35 and sounds:
            i = rng.choice(sounds)
            tokens[i] = SOUNDS[tokens[i].lower()]
        elif kind < 0.6:
            i = rng.choice(able)
            if len(tokens[i]) <= 4:
                tokens[i] = f"{tokens[i]} {tokens[i].lower()}"
        else:
            long = [i for i in able if len(tokens[i]) > 4]
            if long:
                i = rng.choice(long)
                word = tokens[i]
                at = rng.randrange(1, len(word) - 1)
                tokens[i] = rng.choice([word[:at] + word[at + 1:], word[:at] + word[at + 1] + word[at] + word[at + 2:],
                                        word[:at] + word[at] + word[at:]])
        return " ".join(tokens)
    return outside_first(text, change)
