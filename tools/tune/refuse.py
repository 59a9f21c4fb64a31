"""Sentences that a machine has no tool for, that take an order back, or that ask for nothing."""

import re
from dataclasses import replace

import crafts
import refusals
from absent import Absent
from asks import Speaker, article
from lacking import Lacking
from phrases import MARK_OPEN, POLITE, expand, finish, gerund, wrap_order

REFUSE = {"chat": 8, "knowledge": 7, "wishes": 7, "injection": 7, "near": 9, "held": 9, "foreign": 8, "ambiguous": 9, "missing": 8, "vague": 8,
          "outside": 9, "dont": 14, "statement": 9, "untimed": 14, "condition": 14, "unsafe": 9, "unread": 10, "opposite": 14, "unsettable": 8, "shared": 8, "beyond": 8, "own": 26,
          "left_out": 30, "elsewhere": 26}
# The same for machines that were written down whole, where what is missing was written down too, and where the shared wording of
# the others would else fill the places of kinds that do not occur.
REFUSE_CRAFT = REFUSE | {"chat": 3, "knowledge": 4, "wishes": 3, "injection": 4, "foreign": 5, "dont": 8, "condition": 7, "untimed": 7, "unsafe": 40, "missing": 30, "ambiguous": 36,
                         "own": 44, "left_out": 30, "elsewhere": 14, "gone": 44, "not_now": 40, "remark": 20, "overheard": 30, "outside": 24, "which_tool": 12, "beyond": 12}
# For programs: a request for another function, one that sounds like this program's, or something else altogether.
REFUSE_PROGRAM = {"own": 30, "left_out": 28, "elsewhere": 24, "gone": 8, "chat": 6, "wishes": 5, "injection": 3}
STOP = set("that with this from have what does should would could your about will them they than then there where which who whom been were into over some more most much "
           "just once only like make take give need want good find line time without while even though people".split())
# What any machine may be told or asked.
ORDERS = set("turn switch start stop open close shut show tell give please could would read check level high much many still going right away current currently number value "
             "ahead keep bring move hold again down back over until after before minutes seconds hours percent degrees half quarter twenty thirty forty fifty".split())


# Words of three letters that name nothing.
SHORT = set("the and you set put get let now how far can off one two any all are was has for out its our too may did say who why not but yes run use see way new old per day".split())


def stems(text):
    """The beginnings of a text's words that name something."""
    words = re.findall(r"[a-z]+", re.sub(r"\{[^}]*\}", " ", text.lower()))
    return {word[:4] for word in words if len(word) > 2 and word not in STOP and word not in SHORT and word not in ORDERS}


QUESTION = re.compile(r"(what|what's|who|how|when|where|why|is|was|are|do|does|did|can|could|would|which|will)\b")


class Refusals(Lacking, Absent):
    """For `Pairs`: the kind refuse."""

    def refuse(self):
        weights = REFUSE_PROGRAM if self.toolset.is_program else REFUSE_CRAFT if self.is_craft() else REFUSE
        for _ in range(5):
            kind, self.meant = self.rng.choices(list(weights), list(weights.values()))[0], None
            text = getattr(self, f"no_{kind}", lambda: self.bank(kind))()
            if text:
                if kind != "overheard" and self.rng.random() < 0.25:
                    text = self.heard(text, self.rng.choice([0, 1, 1, 2]))
                answer = {"answer": f"{self.meant.name}()"} if self.meant else {}
                return self.finished([], text, kind="refuse") | answer | {"why": kind}
        return None

    def lacks(self, tool, *params):
        """What is said is meant for this tool, and one of these values, which it needs, is not said: it is asked for."""
        if any("default" not in param.spec and not param.spec.get("optional") for param in params or tool.params):
            self.meant = tool

    def is_craft(self):
        return all(tool.arch.family == "craft" for tool in self.toolset.tools)

    def keys(self):
        return {key for tool in self.toolset.tools for key in tool.arch.keys}

    def tells(self, text):
        """Whether a wish has a word of its own that this machine also uses: then it may not be foreign at all."""
        known = self.known_words()
        return any(len(word) > 3 and word not in STOP and word in known for word in re.findall(r"[a-z]+", text.lower().replace("{x}", "")))

    def bank(self, kind):
        rng = self.rng
        text = expand(rng, rng.choice(getattr(refusals, kind.upper())))
        if kind == "wishes" and self.tells(text):
            return None
        question = re.match(r"(what|what's|who|how|when|where|why|is|was|are|do|did|can|which|will)\b", text)
        if kind == "wishes" and rng.random() < 0.5:
            text = rng.choice([way for way in POLITE if "{g}" not in way and "time to" not in way]).replace("{i}", text)
        if question and kind == "knowledge" and rng.random() < 0.3:
            text = rng.choice(["tell me, {s}", "quick question: {s}", "by the way, {s}", "do you happen to know: {s}"]).replace("{s}", text)
        return finish(rng, text, "?" if question else ".")

    def some_thing(self, slots=("dev", "gate")):
        names = [article(item) for slot in slots for item in self.toolset.pools.get(slot, []) if not item.number and not item.plural]
        names += [f"the {tool.thing}" for tool in self.toolset.tools if tool.arch.thing == "dev" and tool.thing]
        if not self.toolset.pools:
            names += [f"the {item.name}" for tool in self.toolset.tools for p in tool.params if p.kind == "enum" for item in p.items
                      if not item.number and not item.plural and not item.name.endswith("s")]
        return self.rng.choice(names) if names else None

    def of_thing(self, bank, guarded):
        thing, text = self.some_thing(), expand(self.rng, self.rng.choice(bank))
        if not thing and "{x}" in text or guarded and self.tells(text):
            return None
        return finish(self.rng, text.replace("{x}", thing or ""), "?" if re.match(r"(how|who|what|is|where|which|do (you|we|I)|why|since when)\b", text) else ".")

    def no_own(self):
        """What sounds at home at such a machine, and none of its tools does."""
        if not self.toolset.domain.nots:
            return None
        return self.maybe_wrapped(expand(self.rng, self.rng.choice(self.toolset.domain.nots)))

    def maybe_wrapped(self, text):
        """A question with its sign; an order sometimes in the words of one who asks for it."""
        if QUESTION.match(text):
            return finish(self.rng, text, "?")
        return finish(self.rng, wrap_order(self.rng, text) if self.rng.random() < 0.4 and re.match(r"[a-z]+ (the|a|my|me|us|all)\b", text) else text)

    def written(self, kind):
        """A sentence of that kind that was written down for this machine."""
        refused = self.toolset.domain.refused
        return expand(self.rng, self.rng.choice(refused.plain[kind])) if refused and refused.plain[kind] else None

    def asks_or_tells(self, text):
        return text and finish(self.rng, text, "?" if QUESTION.match(text) else ".")

    def no_not_now(self):
        return self.asks_or_tells(self.written("D"))

    def no_remark(self):
        return self.asks_or_tells(self.written("R"))

    def no_overheard(self):
        """As a recogniser wrote it."""
        return self.heard(self.rng.choice(self.toolset.domain.overheard), 0) if self.toolset.domain.overheard else None

    def no_near(self):
        return self.of_thing(refusals.NEAR, True)

    def no_unsafe(self):
        text = self.written("U")
        if text:
            return self.maybe_wrapped(text)
        text = self.of_thing(refusals.UNSAFE, True)
        return text and not {"lockout", "limit"} & self.keys() and text

    def no_statement(self):
        thing = self.some_thing()
        text = expand(self.rng, self.rng.choice(refusals.STATEMENT))
        if not thing or {"service", "refilled", "ack"} & self.keys() and re.search("repaired|cleaned|inspected|looked after", text):
            return None
        return finish(self.rng, text.replace("{x}", thing))

    def known_words(self):
        """All the words of this machine that name something."""
        if not hasattr(self, "own_words"):
            names = [item.name for pool in self.toolset.pools.values() for item in pool]
            names += [item.name for tool in self.toolset.tools for param in tool.params for item in param.items]
            names += [tool.thing for tool in self.toolset.tools] + [tool.name.replace("_", " ") for tool in self.toolset.tools]
            names += [tool.description for tool in self.toolset.tools]
            self.own_words = {form for name in names for word in re.findall(r"[a-z]+", name.lower()) for form in (word, word.rstrip("s"))}
        return self.own_words

    # What another machine does, and this one does not.

    def no_left_out(self):
        """What such a machine could do with a tool that this one does not have."""
        return self.said_of(self.rng.choice(self.toolset.left)) if self.toolset.left else None

    def no_elsewhere(self):
        """An order for a machine of another kind."""
        rng, own = self.rng, self.toolset.domain.name
        others = [craft for craft in crafts.crafts() if craft.name != own and not crafts.is_held(craft)]
        craft = rng.choice(others)
        return self.said_of(crafts.build(rng, craft, [rng.choice(craft.tools)]).tools[0])

    def said_of(self, tool):
        """A sentence for a tool that is not there, where no other one can be meant by it."""
        speaker = Speaker(self.rng, replace(self.toolset, tools=[tool]))
        ask = speaker.ask(tool, "IQSF")
        if not ask or MARK_OPEN in ask.text:
            return None
        said = stems(ask.raw)
        for other in self.toolset.tools:
            names = stems(f"{other.name} {other.description} {other.thing} " + " ".join(" ".join((item.name, *item.also)) for p in other.params for item in p.items))
            if said & names or len(said & (names | stems(" ".join(line.text for line in other.arch.lines)))) > 1:
                return None
        return ask.text if len(said) > 1 else None

    # Not now, not if, not then.

    def order(self, pattern="", kinds="I"):
        """An order that only acts, for sentences that take it back or put it off."""
        tools = [t for t in self.toolset.tools if not self.speaker.is_read(t) and not {"stopall", "cancel", "quietc", "cntres", "ack", "fault"} & set(t.arch.keys)]
        if not tools:
            return None
        tool = self.rng.choice(tools)
        ask = self.speaker.ask(tool, kinds, wrap=False)
        if not ask or MARK_OPEN in ask.raw or not gerund(ask.raw) or re.match(r"(never|no|let|give|have|get|take|report)\b", ask.raw):
            return None
        return None if re.search(r"\b(go home|never|warn|alert|alarm|wait|back)\b" + pattern, ask.raw) else ask

    def no_dont(self):
        ask, way = self.order(), expand(self.rng, self.rng.choice(refusals.DONT))
        thing = self.some_thing(("dev",))
        if not ask or "{x}" in way and not thing or way.startswith("nobody should") and re.match("open|unlock|release|un", ask.raw):
            return None
        return finish(self.rng, way.replace("{i}", ask.raw).replace("{g}", gerund(ask.raw)).replace("{x}", thing or ""))

    def no_condition(self):
        ask = self.order(r"|\b(now|right|at once|immediately|every|daily|mode)\b")
        if not ask or {"rain", "rain_pause"} & self.keys() or any(p.kind == "time" for p in ask.tool.params):
            return None
        when = expand(self.rng, self.rng.choice(refusals.CONDITIONS))
        return finish(self.rng, f"{when}, {ask.raw}" if self.rng.random() < 0.6 else f"{ask.raw} {when}" if not when.startswith("should it") else f"{when}, {ask.raw}")

    def no_untimed(self):
        """Something is wanted at another time, and the machine has no clock for it."""
        if any(p.kind == "time" for t in self.toolset.tools for p in t.params):
            return None
        ask = self.order(r"|\b(now|right|at once|immediately|every|daily|today|from|until)\b")
        if not ask:
            return None
        return finish(self.rng, expand(self.rng, self.rng.choice(refusals.LATER)).replace("{i}", ask.raw))
