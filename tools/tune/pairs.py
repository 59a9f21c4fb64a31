"""The sentences of one toolset: single calls, two calls and follow-ups; the other kinds stand in files of their own."""

import re

from able import Able
from asks import Speaker, number_for, number_text, spoken_item
from phrases import MARK_CLOSE, MARK_OPEN, finish
from refuse import Refusals
from repairs import Repairs
from values import Values

KINDS = {"single": 37, "noise": 14, "spoken": 16, "values": 7, "able": 5, "two": 11, "follow": 7, "refuse": 15}


# The same for programs: what people say to them is typed, and long.
KINDS_PROGRAM = {"single": 80, "follow": 5, "two": 3, "refuse": 12}


# How often an indirect sentence is tried first. Many tools have none, so that about a tenth of the pairs are indirect.
HINTED = 0.65
# With crafts, where each tool has several.
HINTED_CRAFT = 0.3


# The kinds of the two lines that make one sentence: orders, questions and fragments.
TWO_KINDS = ["II", "II", "II", "II", "II", "FF", "FF", "QQ", "IQ", "QI"]
TWO_SHORT = ["{a} and {b}", "{a}, {b}", "{a} and also {b}", "{a}, and {b}", "{a} plus {b}", "{a}. And {b}"]


class Pairs(Repairs, Values, Refusals, Able):
    def __init__(self, rng, toolset):
        self.rng, self.toolset, self.speaker = rng, toolset, Speaker(rng, toolset)
        self.queue = list(toolset.tools)
        rng.shuffle(self.queue)

    def finished(self, asks, text, before=None, kind="single"):
        """A pair: the marks go, and what stood between them is the verbatim text."""
        verbatim = ""
        found = re.search(f"{MARK_OPEN}(.*?){MARK_CLOSE}", text)
        if found:
            verbatim = found[1].strip().strip(".,;:!?")
        say = re.sub(f"[{MARK_OPEN}{MARK_CLOSE}]", "", text).strip()
        say = re.sub(r" +", " ", say)
        answer = "\n".join(self.speaker.answer(ask, verbatim) for ask in asks) or "none()"
        pair = {"say": say, "answer": answer, "kind": kind}
        if before:
            pair = {"say": say, "before": before, "answer": answer, "kind": kind}
        if len(asks) == 1 and asks[0].kind == "H":
            pair["why"] = "indirect"
        return pair

    def tool(self):
        if not self.queue:
            self.queue = list(self.toolset.tools)
            self.rng.shuffle(self.queue)
        return self.queue.pop()

    def one(self, tool=None):
        """A single ask that has all that its tool needs."""
        for _ in range(12):
            chosen = tool or self.tool()
            hinted = HINTED_CRAFT if chosen.arch.family == "craft" else HINTED
            ask = self.speaker.hint(chosen) if self.rng.random() < hinted else None
            ask = ask or self.speaker.ask(chosen)
            if ask and self.speaker.needs_met(ask):
                return ask
        return None

    def make(self, kind):
        return getattr(self, kind)()

    def single(self):
        ask = self.one()
        return ask and self.finished([ask], ask.text)

    def two(self):
        rng, speaker = self.rng, self.speaker
        if rng.random() < 0.35:
            pair = self.two_items()
            if pair:
                return pair
        if len(self.toolset.tools) < 2:
            return None
        first, second = rng.sample(self.toolset.tools, 2)
        kinds = rng.choice(TWO_KINDS)
        asks = [speaker.ask(tool, kind, wrap=False) for tool, kind in zip((first, second), kinds)]
        if not all(asks) or not all(map(speaker.needs_met, asks)) or MARK_OPEN in asks[0].raw:
            return None
        if any(re.search(r"stop everything|everything$|emergency", ask.raw) or "stopall" in ask.tool.arch.keys for ask in asks):
            return None
        a, b = asks[0].raw, asks[1].raw
        ways = TWO_SHORT if "F" in kinds or "Q" in kinds else ["{a} and {b}", "{a} and {b}", "{a}, then {b}", "first {a}, then {b}", "{a} and then {b}", "{a}, and {b}", "{a}. And {b}",
                          "{a}; also {b}", "please {a} and {b}", "could you {a} and {b}?", "{a}, and after that {b}", "can you {a} and also {b}?", "{a}, {b}", "{a} plus {b}"]
        text = rng.choice(ways).replace("{a}", a).replace("{b}", b)
        if MARK_OPEN in text:
            text = text.replace("?", "")
        text = finish(rng, text, "?" if kinds[0] == "Q" and kinds[1] == "Q" else ".")
        return self.finished(asks, self.heard(text, rng.choice([0, 1])) if rng.random() < 0.2 else text, kind="two")

    def two_items(self):
        """One verb for two things: "turn on the fan and the lamp"."""
        rng, speaker = self.rng, self.speaker
        tools = [t for t in self.toolset.tools if (p := speaker.item_param(t)) and len(p.items) > 1 and (t.arch.family == "craft" or p.role in
                 ("device", "gate", "zone", "sensor", "material"))]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = speaker.item_param(tool)
        lines = [line for line in speaker.lines(tool, "I") if line.text.count("{" + param.role + "}") == 1 and ":" + param.role not in line.text
                 and "back" not in line.text and not re.search(r"\bits?\b|from its|\{material\}|\} is\b", line.text)]
        if not lines:
            return None
        a, b = rng.sample(param.items, 2)
        names = [spoken_item(rng, param, item, self.toolset) for item in (a, b)]
        ask = speaker.ask(tool, line=rng.choice(lines), item=a, item_text=rng.choice(["{0} and {1}", "both {0} and {1}", "{0} and also {1}", "{0} as well as {1}"]).format(*names))
        if not speaker.needs_met(ask) or MARK_OPEN in ask.text:
            return None
        second = type(ask)(tool, ask.kind, ask.text, dict(ask.args, **{param.role: b.token}))
        return self.finished([ask, second], ask.text, kind="two")

    def follow(self):
        """A request that refers to the turn before it."""
        rng, speaker = self.rng, self.speaker
        tool = rng.choice(self.toolset.tools)
        param = speaker.item_param(tool)
        number = next((p for p in tool.params if p.quantity is not None and p.quantity.attr not in ("span", "count")), None)
        first = speaker.ask(tool)
        if not first or not speaker.needs_met(first) or MARK_OPEN in first.text:
            return None
        args, read = dict(first.args), speaker.is_read(tool)
        ways = []
        # What has a default may be unsaid, and then there is none that the next sentence could change.
        if param and param.role in args and len(param.items) > 1 and (tool.arch.family == "craft" or param.role in ("device", "gate", "zone", "sensor", "place", "mode", "program", "item", "alarm")):
            ways += ["other"] * 3
        if number is not None and number.role in args:
            ways += ["number"] * 2
        flip = {"on": "off", "off": "on", "true": "false", "false": "true"}
        state = next((p for p in tool.params if p.kind in ("onoff", "openclose") and p.role in args), None)
        if state:
            ways += ["back"] * 2
        if read and "export" not in tool.arch.keys:
            ways += ["again"]
        if not ways:
            return None
        way = rng.choice(ways)
        if way == "other":
            other = rng.choice([item for item in param.items if item.token != args[param.role]])
            args[param.role] = other.token
            name = spoken_item(rng, param, other, self.toolset)
            if param.role == "mode":
                name = f"{other.name} mode"
            if read:
                forms = ["and {x}?", "what about {x}?", "and for {x}?", "now {x}", "the same for {x}", "same question for {x}", "{x} too, please"]
            elif param.role in ("place", "mode", "program", "item"):
                forms = ["no, {x} instead", "actually, {x}", "{x} instead, please", "sorry, I meant {x}", "and now {x}", "make that {x}"]
            else:
                forms = ["and {x} too", "same for {x}", "do the same with {x}", "now {x} as well", "{x} as well, please", "and {x}",
                         "{x} too", "and the same for {x}, please", "likewise {x}"]
            text = rng.choice(forms).replace("{x}", name)
        elif way == "number":
            value = number_for(rng, number)
            if value == args[number.role]:
                return None
            args[number.role] = value
            text = rng.choice(["no, {v}", "{v} instead", "actually, {v}, please", "make that {v} after all", "sorry, I meant {v}",
                               "change that to {v}", "hm, rather {v}"]).replace("{v}", number_text(rng, number, value))
        elif way == "back":
            args[state.role] = flip[args[state.role]]
            forms = {"on": ["turn it back on", "switch it on again", "now put it on again"], "off": ["turn it off again", "now switch it off", "and off again"],
                     "true": ["open it again", "now open it", "and open again"], "false": ["close it again", "now shut it", "and closed again, please"]}
            text = rng.choice(forms[args[state.role]])
        else:
            text = rng.choice(["and now?", "check again", "once more, please", "again", "say that again", "and how is it now?"])
        if any(p.kind == "time" for p in tool.params) and way in ("other", "number") and "until" in args:
            return None
        ask = type(first)(tool, "F", text, args)
        text = finish(rng, text, "?" if text.endswith("?") else ".")
        if rng.random() < 0.2:
            text = self.heard(text, rng.choice([0, 0, 1]))
        before = [{"say": self.finished([first], first.text)["say"], "answer": self.finished([first], first.text)["answer"]}]
        return self.finished([ask], text, before, kind="follow")


def plain(text):
    """A sentence without what case and signs make of it."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def pairs_of(rng, toolset, count, avoid=frozenset()):
    """The pairs of a toolset; each tool is asked for, and no sentence comes twice."""
    maker, found, said = Pairs(rng, toolset), [], set()
    shares = KINDS_PROGRAM if toolset.is_program else KINDS
    for tool in toolset.tools[:count]:
        for _ in range(5):
            ask = maker.one(tool)
            pair = ask and maker.finished([ask], ask.text)
            if pair and plain(pair["say"]) not in avoid | said:
                found.append(pair)
                said.add(plain(pair["say"]))
                break
    tries = 0
    # The first pairs are single calls: the rest makes up for that in the shares.
    plan = rng.choices(list(shares), list(shares.values()), k=count)
    singles = [kind for kind in plan if kind == "single"][len(found):]
    plan = singles + [kind for kind in plan if kind != "single"]
    rng.shuffle(plan)
    while len(found) < count and tries < count * 30:
        tries += 1
        kind = plan[0] if plan else "single"
        pair = maker.make(kind)
        key = pair and plain(pair["say"])
        if not pair or key in avoid or (key in said and kind != "follow") or len(pair["say"]) < 2:
            if plan and rng.random() < 0.08:
                plan[0] = "single"
            continue
        said.add(key)
        found.append(pair)
        plan = plan[1:]
    rng.shuffle(found)
    return found[:count]
