"""Orders that leave out or blur what a tool needs, or give a value that it cannot have: the answer is the tool without arguments."""

import re

import ground
from asks import number_for, spoken_item
from phrases import MARK_OPEN, expand, finish


class Lacking:
    """For `Refusals`."""

    def of_lines(self, kind):
        lines = [(tool, line) for tool in self.toolset.tools for line in tool.arch.lines if line.kind == kind]
        if kind == "A":
            lines = [(tool, line) for tool, line in lines if any(p.kind in ("enum", "lit") and len(p.items) > 1 for p in tool.params)]
        if not lines:
            return None
        tool, line = self.rng.choice(lines)
        ask = self.speaker.ask(tool, line=line)
        if self.speaker.needs_met(ask) or MARK_OPEN in ask.text:
            return None
        self.lacks(tool)
        return ask.text

    def no_ambiguous(self):
        return self.rng.random() < 0.7 and self.of_lines("A") or self.either()

    def no_missing(self):
        return self.of_lines("M")

    def no_which_tool(self):
        """ "Turn it up", where that could be meant for two of the tools."""
        refused = self.toolset.domain.refused
        if not refused:
            return None
        here = {tool.arch.name for tool in self.toolset.tools}
        texts = [text for tools, text in refused.either if len(tools & here) > 1]
        return self.asks_or_tells(expand(self.rng, self.rng.choice(texts))) if texts else None

    def either(self):
        """ "The left or the right one": which of two, nobody says."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if (p := self.speaker.item_param(t)) and len(p.items) > 1]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = self.speaker.item_param(tool)
        lines = [line for line in self.speaker.lines(tool, "I") if "{" + param.role + "}" in line.text]
        if not lines:
            return None
        a, b = (spoken_item(rng, param, item, self.toolset) for item in rng.sample(param.items, 2))
        ask = self.speaker.ask(tool, line=rng.choice(lines), item=param.items[0], item_text=f"{a} or {b}", wrap=False)
        if MARK_OPEN in ask.text:
            return None
        self.lacks(tool, param)
        return finish(rng, ask.text + rng.choice([", I don't know which", ", I forgot which", ", which was it again", ", one of the two, not both", ", let me think which"]))

    def no_shared(self):
        """ "Open the door", where there are three."""
        rng, found = self.rng, []
        for tool in self.toolset.tools:
            param = self.speaker.item_param(tool)
            if not param or param.role not in ("device", "gate"):
                continue
            heads = [item.name.split()[-1] if not item.number else item.name.rsplit(" ", 1)[0].split()[-1] for item in param.items if not item.plural]
            others = " ".join(f"{t.thing} {t.name} {t.description}" for t in self.toolset.tools if (p := self.speaker.item_param(t)) is None or p.items != param.items)
            for head in sorted({head for head in heads if heads.count(head) > 1 and not any(item.name == head for item in param.items) and head not in others}):
                found += [(tool, param, line, head) for line in self.speaker.lines(tool, "I") if "{" + param.role + "}" in line.text]
        if not found:
            return None
        tool, param, line, head = rng.choice(found)
        ask = self.speaker.ask(tool, line=line, item=param.items[0], item_text=rng.choice(["the {h}", "the {h}", "that {h}", "one of the {h}s", "the other {h}"]).replace("{h}", head))
        if MARK_OPEN in ask.text:
            return None
        self.lacks(tool, param)
        return ask.text

    def no_vague(self):
        """An amount that is none: "for a while", "somewhere warmer", "a few"."""
        rng = self.rng
        found = []
        for tool in self.toolset.tools:
            for param in tool.params:
                q = param.quantity
                if q is None or "default" in param.spec or sum(p.quantity is not None for p in tool.params) > 1:
                    continue
                ways = {"duration": ["a while", "some time", "a bit", "as long as it takes", "a few minutes", "quite some time"], "span": [], "count": ["a few", "several", "a number of"]}.get(
                    q.attr, ["the usual amount", "a good portion", "a small amount", "not too much"] if q.attr == "amount" or {"disp", "dose"} & set(tool.arch.keys)
                    else ["a bit", "a little", "some way"] if q.attr == "distance" else ["the usual value", "what we had last time", "something reasonable", "whatever you think", "what it should be", "a better value"])
                if q.attr == "duration" and {"on", "start", "open"} & self.keys():
                    continue
                found += [(tool, param, line, way) for line in self.speaker.lines(tool, "I") if "{" + param.role + "}" in line.text for way in ways]
        if not found:
            return None
        tool, param, line, way = rng.choice(found)
        ask = self.speaker.ask(tool, line=line, value=param.quantity.low, value_text=way)
        if MARK_OPEN in ask.text or re.search(r"every a|of a (bit|while)|\b(a few|several|usual|reasonable|think|last time|should be|better value) (open|%)", ask.text):
            return None
        self.lacks(tool, param)
        return ask.text

    def no_outside(self):
        """A value that the machine cannot have."""
        rng = self.rng
        tools = [(t, p) for t in self.toolset.tools for p in t.params if p.quantity is not None and p.quantity.attr != "span"]
        tools = [(t, p) for t, p in tools if sum(q.quantity is not None for q in t.params) == 1]
        if not tools:
            return None
        tool, param = rng.choice(tools)
        q = param.quantity
        lines = [line for line in self.speaker.lines(tool, "IF") if "{" + param.role + "}" in line.text]
        if not lines:
            return None
        if q.attr in ("duration", "count", "share"):
            factor = rng.choice([2, 3, 4, 10])
            value = q.high * factor
            units = {"seconds": ("minutes", 60), "minutes": ("hours", 60), "hours": ("days", 24), "days": ("weeks", 7)}.get(q.unit)
            said = f"{ground.bare(rng, float(-(-value // units[1])))} {units[0]}" if units and rng.random() < 0.6 else ground.spoken(rng, value, q.unit) if q.unit else ground.bare(rng, value)
        elif rng.random() < 0.3 and q.low > 0 and q.unit:
            value = -float(rng.randint(1, 12) * 5)
            said = f"{rng.choice([ground.plain(value), ground.words(value)])} {ground.UNIT_WORDS[q.unit][1]}"
        else:
            value = number_for(rng, param, True)
            said = ground.spoken(rng, value, q.unit)
            if rng.random() < 0.2 and not re.search(r"[a-zA-Z%°]", said):
                said = f"{ground.plain(value)} {ground.UNIT_WORDS[q.unit][1]}"
        if q.low <= value <= q.high:
            return None
        ask = self.speaker.ask(tool, line=rng.choice(lines), value=value, value_text=said)
        if not ask or MARK_OPEN in ask.text:
            return None
        self.lacks(tool, param)
        return ask.text
