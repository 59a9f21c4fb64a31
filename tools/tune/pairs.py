"""The sentences of one toolset: single calls, two calls, follow-ups, refusals, noise."""

import re

import banks
import refusals
from asks import REPAIRS, Speaker, article, number_for, number_text, spoken_item
from phrases import MARK_CLOSE, MARK_OPEN, POLITE, as_spoken, expand, finish, gerund, slip

KINDS = {"single": 60, "noise": 12, "two": 8, "follow": 6, "refuse": 14}
REFUSE = {"chat": 11, "knowledge": 10, "wishes": 10, "injection": 6, "near": 12, "held": 12, "foreign": 9, "ambiguous": 12, "missing": 8,
          "outside": 9, "dont": 9, "statement": 6, "untimed": 4}


class Pairs:
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
            ask = self.speaker.hint(chosen) if self.rng.random() < 0.5 else None
            ask = ask or self.speaker.ask(chosen)
            if ask and self.speaker.needs_met(ask):
                return ask
        return None

    def make(self, kind):
        return getattr(self, kind)()

    def single(self):
        ask = self.one()
        return ask and self.finished([ask], ask.text)

    def noise(self):
        rng, roll = self.rng, self.rng.random()
        if roll < 0.25:
            ask = self.repaired()
            text = ask and (as_spoken(rng, ask.text) if rng.random() < 0.6 else ask.text)
        else:
            ask = self.one()
            if not ask:
                return None
            if roll < 0.75:
                text = as_spoken(rng, ask.text)
                if rng.random() < 0.2:
                    text = slip(rng, text, self.kept())
            else:
                text = slip(rng, ask.text, self.kept())
        return ask and self.finished([ask], text, kind="noise")

    def kept(self):
        """Words that a slip must not touch: those that values are made of."""
        names = [item.name for pool in self.toolset.pools.values() for item in pool]
        names += [tool.thing for tool in self.toolset.tools]
        words = {word.lower() for name in names for word in name.split()}
        return words | set("on off no not don't in at to for half past quarter and an a hour hours minute minutes second seconds day days week "
                           "month fortnight couple degrees percent point hundred thousand minus open close closed shut lock unlock up down "
                           "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
                           "nineteen twenty thirty forty fifty sixty seventy eighty ninety morning evening afternoon night noon midnight "
                           "average mean highest lowest last past am pm from until above below stop start quarters litre litres kilo kilos "
                           "grams millilitres metre metres midday celsius centigrade cent per zero".split())

    def repaired(self):
        """Somebody says another item or value first and puts it right."""
        rng, speaker = self.rng, self.speaker
        if rng.random() < 0.35:
            ask = self.repaired_number()
            if ask:
                return ask
        tools = [t for t in self.toolset.tools if (p := speaker.item_param(t)) and len(p.items) > 1]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = speaker.item_param(tool)
        item, other = rng.sample(param.items, 2)
        lines = [line for line in speaker.lines(tool, "IF") if "{" + param.role + "}" in line.text]
        if not lines:
            return None
        said = [spoken_item(rng, param, i, self.toolset) for i in (other, item)]
        text = f"{said[0]}, {rng.choice(REPAIRS)} {said[1]},".replace(",,", ",")
        ask = speaker.ask(tool, line=rng.choice(lines), item=item, item_text=text)
        ask.text = re.sub(r",(\s*[.?!]?)$", r"\1", ask.text)
        return ask if speaker.needs_met(ask) else None

    def repaired_number(self):
        """ "To forty, no, fifty percent": the last one counts."""
        rng, speaker = self.rng, self.speaker
        tools = [(t, p) for t in self.toolset.tools for p in t.params if p.quantity is not None and p.quantity.attr != "span"]
        if not tools:
            return None
        tool, param = rng.choice(tools)
        lines = [line for line in speaker.lines(tool, "IFS") if "{" + param.role + "}" in line.text]
        first, value = number_for(rng, param), number_for(rng, param)
        if not lines or first == value:
            return None
        said = f"{number_text(rng, param, first)}, {rng.choice(REPAIRS)} {number_text(rng, param, value)}"
        ask = speaker.ask(tool, line=rng.choice(lines), value=value, value_text=said)
        # Another number of the same tool must not have taken this value too.
        others = [p for p in tool.params if p.quantity is not None and p is not param and p.role in ask.args]
        return ask if speaker.needs_met(ask) and not others else None

    def two(self):
        rng, speaker = self.rng, self.speaker
        if rng.random() < 0.35:
            pair = self.two_items()
            if pair:
                return pair
        if len(self.toolset.tools) < 2:
            return None
        first, second = rng.sample(self.toolset.tools, 2)
        asks = [speaker.ask(tool, "I", wrap=False) for tool in (first, second)]
        if not all(asks) or not all(map(speaker.needs_met, asks)) or MARK_OPEN in asks[0].raw:
            return None
        if any(re.search(r"stop everything|everything$|emergency", ask.raw) or "stopall" in ask.tool.arch.keys for ask in asks):
            return None
        a, b = asks[0].raw, asks[1].raw
        way = rng.choice(["{a} and {b}", "{a} and {b}", "{a}, then {b}", "first {a}, then {b}", "{a} and then {b}", "{a}, and {b}", "{a}. And {b}",
                          "{a}; also {b}", "please {a} and {b}", "could you {a} and {b}?", "{a}, and after that {b}", "can you {a} and also {b}?"])
        text = way.replace("{a}", a).replace("{b}", b)
        if MARK_OPEN in text:
            text = text.replace("?", "")
        text = finish(rng, text)
        return self.finished(asks, as_spoken(rng, text) if rng.random() < 0.2 else text, kind="two")

    def two_items(self):
        """One verb for two things: "turn on the fan and the lamp"."""
        rng, speaker = self.rng, self.speaker
        tools = [t for t in self.toolset.tools if (p := speaker.item_param(t)) and len(p.items) > 1 and p.role in
                 ("device", "gate", "zone", "sensor", "material")]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = speaker.item_param(tool)
        lines = [line for line in speaker.lines(tool, "I") if "{" + param.role + "}" in line.text and ":" + param.role not in line.text
                 and "back" not in line.text and not re.search(r"\bits\b|from its|\{material\}", line.text)]
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
        if param and len(param.items) > 1 and param.role in ("device", "gate", "zone", "sensor", "place", "mode", "program", "item", "alarm"):
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
            text = rng.choice(["make it {v}", "no, {v}", "{v} instead", "actually, {v}, please", "make that {v} after all", "sorry, I meant {v}",
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
            text = as_spoken(rng, text)
        before = [{"say": self.finished([first], first.text)["say"], "answer": self.finished([first], first.text)["answer"]}]
        return self.finished([ask], text, before, kind="follow")

    def refuse(self):
        kinds = list(REFUSE)
        kind = self.rng.choices(kinds, list(REFUSE.values()))[0]
        text = getattr(self, f"no_{kind}", lambda: self.bank(kind))()
        if not text:
            return None
        if self.rng.random() < 0.2:
            text = as_spoken(self.rng, text)
        return self.finished([], text, kind="refuse") | {"why": kind}

    def bank(self, kind):
        rng = self.rng
        text = expand(rng, rng.choice(getattr(refusals, kind.upper())))
        question = re.match(r"(what|who|how|when|where|why|is|are|do|can|which)\b", text)
        if kind == "wishes" and rng.random() < 0.5:
            text = rng.choice([way for way in POLITE if "{g}" not in way and "time to" not in way]).replace("{i}", text)
        if question and kind == "knowledge" and rng.random() < 0.3:
            text = rng.choice(["tell me, {s}", "quick question: {s}", "by the way, {s}", "do you happen to know: {s}"]).replace("{s}", text)
        return finish(rng, text, "?" if question else ".")

    def some_thing(self):
        names = [article(item) for slot in ("dev", "gate") for item in self.toolset.pools.get(slot, []) if not item.number and not item.plural]
        return self.rng.choice(names) if names else None

    def no_near(self):
        thing = self.some_thing()
        if not thing:
            return None
        text = expand(self.rng, self.rng.choice(refusals.NEAR)).replace("{x}", thing)
        return finish(self.rng, text, "?" if re.match(r"(how|who|what|is|where|which|do)\b", text) else ".")

    def no_statement(self):
        thing = self.some_thing()
        return thing and finish(self.rng, expand(self.rng, self.rng.choice(refusals.STATEMENT)).replace("{x}", thing))

    def known_words(self):
        """All the words of this machine that name something."""
        names = [item.name for pool in self.toolset.pools.values() for item in pool]
        names += [tool.thing for tool in self.toolset.tools] + [tool.name.replace("_", " ") for tool in self.toolset.tools]
        names += [tool.description for tool in self.toolset.tools]
        return {singular for name in names for word in re.findall(r"[a-z]+", name.lower()) for singular in (word, word.rstrip("s"))}

    def no_held(self):
        """A thing of such a place that this machine does not have."""
        return self.absent(self.toolset.held)

    def no_foreign(self):
        other = self.rng.choice(banks.domains())
        things = [(slot, name.rstrip("*")) for slot in ("dev", "gate", "mat") for name in other.slots.get(slot, [])]
        return self.absent(things) if other.name != self.toolset.domain.name else None

    def absent(self, things):
        rng, known = self.rng, self.known_words()
        things = [(slot, name) for slot, name in things if not any(w.rstrip("s") in known or w in known for w in name.lower().split())]
        if not things:
            return None
        slot, name = rng.choice(things)
        order = {"dev": ["turn on the {x}", "switch off the {x}", "start the {x}", "stop the {x}", "shut down the {x}"],
                 "gate": ["open the {x}", "close the {x}", "lock the {x}"], "mat": ["add some {x}", "dispense 20 grams of {x}", "order more {x}"]}[slot]
        return self.speaker.wrapped("I", rng.choice(order).replace("{x}", name))

    def of_lines(self, kind):
        lines = [(tool, line) for tool in self.toolset.tools for line in tool.arch.lines if line.kind == kind]
        if kind == "A":
            lines = [(tool, line) for tool, line in lines if (p := self.speaker.item_param(tool)) and len(p.items) > 1]
        if not lines:
            return None
        tool, line = self.rng.choice(lines)
        ask = self.speaker.ask(tool, line=line)
        return None if self.speaker.needs_met(ask) or MARK_OPEN in ask.text else ask.text

    def no_ambiguous(self):
        return self.of_lines("A")

    def no_missing(self):
        return self.of_lines("M")

    def no_outside(self):
        """A value that the machine cannot have."""
        tools = [t for t in self.toolset.tools if any(p.quantity is not None and p.quantity.attr not in ("span", "duration", "count", "share")
                                                      for p in t.params)]
        if not tools:
            return None
        tool = self.rng.choice(tools)
        lines = [line for line in self.speaker.lines(tool, "IF") if "{value}" in line.text or "{amount}" in line.text]
        if not lines:
            return None
        ask = self.speaker.ask(tool, line=self.rng.choice(lines), outside=True)
        others = {v for p in tool.params if p.quantity is not None for v in [p.quantity.high]}
        value = next((v for v in ask.args.values() if isinstance(v, float)), 0)
        return ask.text if value > max(others) else None

    def no_dont(self):
        tools = [t for t in self.toolset.tools if not self.speaker.is_read(t)]
        if not tools:
            return None
        ask = self.speaker.ask(self.rng.choice(tools), "I", wrap=False)
        if not ask or MARK_OPEN in ask.raw or not gerund(ask.raw) or re.match(r"(never|no|let|give|have|get|take|report)\b", ask.raw):
            return None
        if re.search(r"\b(go home|never|warn|alert)\b", ask.raw):
            return None
        return finish(self.rng, expand(self.rng, self.rng.choice(refusals.DONT)).replace("{i}", ask.raw))

    def no_untimed(self):
        """Something is wanted at a time of day, and the machine has no clock for it."""
        if any(p.kind == "time" for t in self.toolset.tools for p in t.params):
            return None
        tools = [t for t in self.toolset.tools if "on" in t.arch.keys or "open" in t.arch.keys or "start" in t.arch.keys]
        if not tools:
            return None
        ask = self.speaker.ask(self.rng.choice(tools), "I", wrap=False)
        when = self.rng.choice(["tomorrow at noon", "next Monday at 8:00", "every evening at 19:30", "on Sunday at six in the morning"])
        return finish(self.rng, f"{ask.raw} {when}") if ask and not re.search(r"\b(now|right)\b", ask.raw) else None


def plain(text):
    """A sentence without what case and signs make of it."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def pairs_of(rng, toolset, count, avoid=frozenset()):
    """The pairs of a toolset; each tool is asked for, and no sentence comes twice."""
    maker, found, said = Pairs(rng, toolset), [], set()
    kinds = list(KINDS)
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
    plan = rng.choices(kinds, list(KINDS.values()), k=count)
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
