"""Sentences that look like those that are refused, and are not: a machine must not become timid.

"Don't forget to open it" opens it; "if you can, close it" closes it; "don't open the left one, open the right one" opens the
right one; the greatest value is still allowed; a door is "the door" where there is only one.
"""

import re
from dataclasses import replace

from asks import number_text, spoken_item
from phrases import MARK_OPEN, expand, finish, gerund

# {i} is an order.
ANYWAY = [
    "(don't|do not|please don't) forget to {i}", "(don't|please don't) (wait|hesitate|bother asking|worry about me|just stand there|be shy), {i}", "I don't (care|mind) (how|what it costs), just {i}",
    "never mind (the noise|the mess|what I said before|the others), {i}", "no, I mean it, {i}", "not (later|tomorrow), (now|right now): {i}", "no more (excuses|talking|waiting), {i}",
    "(if you can|if you could|if it isn't too much trouble|if you have a moment|if that's possible|if you don't mind|if I may ask), {i}", "{i}, if you (can|would|don't mind)", "if nobody has done it yet, {i}",
    "(since|because|now that) (it is raining|it's getting dark|the guests are here|the boss is here|Anna has arrived|the rain has stopped), {i}",
    "(it has started to rain|it's raining|Peter is here|the sun has come out|the inspector is at the door|the phone is ringing), so {i}", "{i}, (it's about to rain|it's raining already|Anna has just come|the bell has rung)",
    "(is it possible|would it be possible) to {i}", "(are you able|are you allowed) to {i}? Then do it", "I wonder if you could {i}", "I don't think anybody has told you yet: {i}",
    "(good morning|good evening|hello there|hi, it's me again), {i}", "(thanks for that|well done|thank you|great), now {i}", "tell me a joke later, first {i}", "(I'm tired|I'm in a hurry|what a day|long night), {i}",
    "(to be on the safe side|for safety's sake|better safe than sorry|to be safe), {i}", "(it's not urgent|no hurry|whenever you're ready|take your time), but {i}", "forget what I said (before|earlier): {i}",
    "(the boss|my wife|the manual|the customer) says we should {i}", "we can't (wait|go on like this), {i}", "it can't (wait|stay like this), {i}", "why has nobody told you to {i}? Do it now",
    "ignore the (noise|people|smell) and {i}", "I know you were told not to, but it's all right now, {i}", "you may {i} after all", "I've changed my mind, {i} after all", "yes, do {i}", "yes please, {i}",
    "sorry to bother you again, {i}", "would it be a lot of trouble to {i}", "nothing is stopping you: {i}", "I'm not joking, {i}", "it wouldn't hurt to {i}", "you didn't {i} yet, so do it now",
    "(the weather is awful|the news was dull|lunch was good), {i}, please", "(I can't|my hands are full, I can't) do it myself, {i}", "there's nothing left to discuss, {i}", "no need to ask again, {i}", "you needn't answer, just {i}",
]
RATHER = ["don't {a}, {b}", "don't {a}, {b} instead", "please don't {a} but {b}", "no need to {a}, just {b}", "{b}, but don't {a}", "{b}, don't {a}", "I said {b}, not {a}", "instead of {ga}, {b}", "rather than {a}, {b}"]
REQUEST = r"(never|no|let|give|have|get|take|report)\b"


class Able:
    """For `Pairs`: the kind able."""

    def able(self):
        ways = [self.anyway] * 6 + [self.rather] * 3 + [self.at_bound] * 3 + [self.only_one] * 3 + [self.said_before] * 2
        for _ in range(6):
            ask = self.rng.choice(ways)()
            if ask and self.speaker.needs_met(ask):
                text = self.heard(ask.text, self.rng.choice([0, 1])) if self.rng.random() < 0.2 else ask.text
                return self.finished([ask], text, kind="able")
        return None

    def anyway(self):
        """An order in words that are often those of a refusal."""
        rng = self.rng
        ask = self.one_order()
        if not ask:
            return None
        way = expand(rng, rng.choice(ANYWAY))
        if re.match(r"you didn't|yes, do|why has", way) and not re.match("(turn|switch|open|close|shut|start|stop|lock|set)", ask.raw):
            return None
        if "but it's all right now" in way and {"lockout", "unlock"} & self.keys() or "safe" in way and "lock" in " ".join(self.keys()):
            return None
        text = way.replace("{i}", ask.raw)
        asked = re.match(r"(is it|would it)", text)
        return replace(ask, text=finish(rng, text, "?" if asked else "."))

    def one_order(self):
        """An order of a tool that acts, without a verbatim text."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if not self.speaker.is_read(t) and not {"stopall", "cancel", "quietc"} & set(t.arch.keys)]
        if not tools:
            return None
        ask = self.speaker.ask(rng.choice(tools), "I", wrap=False)
        bad = not ask or MARK_OPEN in ask.raw or re.match(REQUEST, ask.raw) or re.search(r"\b(never|now|at once|immediately)\b", ask.raw)
        return None if bad or not self.speaker.needs_met(ask) else ask

    def rather(self):
        """One thing is not to be done, and another is."""
        rng = self.rng
        a, b = self.one_order(), self.one_order()
        if not a or not b or a.raw == b.raw or self.speaker.answer(a) == self.speaker.answer(b) or not gerund(a.raw) or {"alarm", "warn"} & set(f"{a.raw} {b.raw}".split()):
            return None
        if rng.random() < 0.6:
            # The same order for another item is the harder case.
            tools = [t for t in self.toolset.tools if not self.speaker.is_read(t) and (p := self.speaker.item_param(t)) and len(p.items) > 1 and not any(q.kind == "text" for q in t.params)]
            if not tools:
                return None
            tool = rng.choice(tools)
            param = self.speaker.item_param(tool)
            lines = [line for line in self.speaker.lines(tool, "I") if "{" + param.role + "}" in line.text and not re.match(REQUEST, line.text) and not re.search(r"\(.*\{" + param.role, line.text)
                     and len([p for p in tool.params if p.role in line.text]) == 1]
            if not lines:
                return None
            line = rng.choice(lines)
            wrong, right = rng.sample(param.items, 2)
            said = spoken_item(rng, param, right, self.toolset)
            b = self.speaker.ask(tool, line=line, item=right, item_text=said, wrap=False)
            if said not in b.raw or re.match(REQUEST, b.raw):
                return None
            a = replace(b, raw=b.raw.replace(said, spoken_item(rng, param, wrong, self.toolset)))
        text = rng.choice(RATHER).replace("{a}", a.raw).replace("{b}", b.raw).replace("{ga}", gerund(a.raw) or a.raw)
        return replace(b, text=finish(rng, text))

    def at_bound(self):
        """The greatest or the smallest value, as a number."""
        rng = self.rng
        found = [(t, p) for t in self.toolset.tools for p in t.params if p.quantity is not None and p.quantity.attr not in ("span", "count") and sum(q.quantity is not None for q in t.params) == 1]
        if not found:
            return None
        tool, param = rng.choice(found)
        lines = [line for line in self.speaker.lines(tool, "IFS") if "{" + param.role + "}" in line.text]
        value = rng.choice([param.quantity.high, param.quantity.high, param.quantity.low])
        if not lines or param.quantity.attr == "duration" and value < 2:
            return None
        return self.speaker.ask(tool, line=rng.choice(lines), value=value, value_text=number_text(rng, param, value))

    def only_one(self):
        """ "The lamp", where there is one lamp."""
        rng, found = self.rng, []
        for tool in self.toolset.tools:
            param = self.speaker.item_param(tool)
            if not param or param.role not in ("device", "gate") or any(item.number for item in param.items):
                continue
            for item in param.items:
                head = item.name.split()[-1]
                if head == item.name or item.plural or len(head) < 3 or head in ("machine", "unit", "line", "system", "room", "station"):
                    continue
                if not any(head in other or head.rstrip("s") in other for other in self.other_names(tool, item)):
                    found += [(tool, param, item, head, line) for line in self.speaker.lines(tool, "IF") if "{" + param.role + "}" in line.text]
        if not found:
            return None
        tool, param, item, head, line = rng.choice(found)
        ask = self.speaker.ask(tool, line=line, item=item, item_text=rng.choice([f"the {head}", f"the {head}", f"our {head}"]))
        return None if MARK_OPEN in ask.text else ask

    def other_names(self, tool, item):
        """What else this machine could mean: names of items, and tools that are not about this one."""
        names = [other.name for pool in self.toolset.pools.values() for other in pool if other is not item]
        names += [other.name for t in self.toolset.tools for p in t.params for other in p.items if other is not item]
        return names + [f"{t.thing} {t.name} {t.description}" for t in self.toolset.tools if item not in getattr(self.speaker.item_param(t), "items", [])]

    def said_before(self):
        """A statement that asks for nothing, and then an order."""
        rng = self.rng
        ask, thing = self.one_order(), self.some_thing(("dev",))
        if not ask or not thing:
            return None
        lead = rng.choice(["{x} was repaired last year", "I like {x}", "{x} is all right", "somebody asked me about {x} yesterday", "{x} was not cheap", "I have read the manual of {x}",
                           "I don't know much about {x}", "{x} looks nice"]).replace("{x}", thing)
        text = f"{lead[:1].upper() + lead[1:]}{rng.choice(['. ', '. Now ', '. Please '])}{ask.raw}"
        text = re.sub(r"\. ([a-z])", lambda m: f". {m[1].upper()}", text)
        return replace(ask, text=text + rng.choice([".", "", ", please", "."]))
