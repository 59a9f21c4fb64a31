"""Sentences as a recogniser hears them, and those that somebody puts right while speaking."""

import re

import ground
from asks import REPAIRS, Ask, number_for, number_text, spoken_item
from noise import KEPT, Recogniser
from phrases import MARK_OPEN, finish, slip, wrap_order

SHORT = ["no", "no no", "no wait", "I mean", "sorry", "uh no", "or no", "wait no", "sorry I mean", "um no", "ah no"]
ABANDONED = ["{a}, no, forget that, {b}", "{a}... no, {b} instead", "{a}, actually no, {b}", "{a}, no wait, don't, {b} instead", "{a}, sorry, wrong one, {b}",
             "{a}, hm, no, rather {b}", "{a}, ah no, I meant {b}", "{a}, no, not that, {b}", "{a}, oh no, what I want is this: {b}", "{a}, no, never mind that, {b}"]


class Repairs:
    """For `Pairs`: the kind noise."""

    def ear(self):
        """Who hears sentences about this machine."""
        if not hasattr(self, "own_ear"):
            items = [item.name for pool in self.toolset.pools.values() for item in pool]
            items += [item.name for tool in self.toolset.tools for param in tool.params for item in param.items]
            items += [tool.thing for tool in self.toolset.tools]
            items += [f"{tool.quantity.thing} {tool.quantity.attr}" for tool in self.toolset.tools if tool.quantity]
            words = {word for name in items for word in re.findall(r"[a-z]+", name.lower())}
            self.own_ear = Recogniser(self.rng, words, words | self.known_words())
        return self.own_ear

    def heard(self, text, changes=None):
        # What is said to programs is typed, and its values stand in the call as they were written.
        return text if self.toolset.is_program else self.ear().heard(text, changes)

    def noise(self):
        rng, roll = self.rng, self.rng.random()
        ask = self.repaired() if roll < 0.3 else None
        if ask:
            text = self.heard(ask.text, rng.choice([0, 1, 1, 2])) if rng.random() < 0.8 else ask.text
            return self.finished([ask], text, kind="noise")
        ask = self.one()
        if not ask:
            return None
        return self.finished([ask], slip(rng, ask.text, self.kept()) if roll > 0.92 else self.heard(ask.text), kind="noise")

    def spoken(self):
        """What was written down as a recogniser hears it, once each; another sentence where a machine has no such lines."""
        rng, speaker = self.rng, self.speaker
        lines = [(tool, line) for tool in self.toolset.tools for line in speaker.lines(tool, "T") if line.text not in speaker.used]
        if not lines:
            return self.noise()
        tool, line = rng.choice(lines)
        speaker.used.add(line.text)
        ask = speaker.ask(tool, line=line)
        return self.finished([ask], self.heard(ask.text, 0), kind="spoken") if speaker.needs_met(ask) else None

    def kept(self):
        """Words that a typing error must not touch: names, and what values are made of."""
        return KEPT | self.ear().names | set("week weeks fortnight".split())

    def repaired(self):
        """Somebody says something else first and puts it right."""
        ways = [self.repaired_item] * 5 + [self.repaired_number] * 5 + [self.repaired_state] * 2 + [self.abandoned] * 2
        for _ in range(4):
            ask = self.rng.choice(ways)()
            if ask:
                return ask
        return None

    def repair(self):
        """What stands between the wrong word and the right one."""
        rng = self.rng
        return f" {rng.choice(SHORT)} " if rng.random() < 0.5 else f", {rng.choice(REPAIRS)} "

    def repaired_item(self):
        """ "The left, no, the right pump"."""
        rng, speaker = self.rng, self.speaker
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
        # Of two names with the same last word, the first is broken off before it.
        if said[0].split()[-1] == said[1].split()[-1] and len(said[0].split()) > 2 and rng.random() < 0.7:
            said[0] = said[0].rsplit(" ", 1)[0]
        text = f"{said[0]}{self.repair()}{said[1]},".replace(",,", ",")
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
        wrong = ground.bare(rng, first) if rng.random() < 0.5 else number_text(rng, param, first)
        said = f"{wrong}{self.repair()}{number_text(rng, param, value)}"
        ask = speaker.ask(tool, line=rng.choice(lines), value=value, value_text=said)
        # Another number of the same tool must not have taken this value too.
        others = [p for p in tool.params if p.quantity is not None and p is not param and p.role in ask.args]
        return ask if speaker.needs_met(ask) and not others else None

    def repaired_state(self):
        """ "Turn on, no, turn off the lamp"."""
        rng, speaker = self.rng, self.speaker
        found = [(t, s, p) for t in self.toolset.tools for s in t.params if s.kind in ("onoff", "openclose") and len(t.params) < 3
                 for p in [speaker.item_param(t)] if p is None and t.thing and t.arch.thing == "dev" or p is not None and p.role in ("device", "gate")]
        if not found:
            return None
        tool, state, param = rng.choice(found)
        right, wrong = rng.sample(["on", "off"], 2) if state.kind == "onoff" else rng.sample(["true", "false"], 2)
        args = {state.role: right}
        name = f"the {tool.thing}"
        if param:
            item = rng.choice(param.items)
            args[param.role], name = item.token, spoken_item(rng, param, item, self.toolset)
        r = self.repair()
        if state.kind == "onoff":
            text = rng.choice([f"turn {wrong}{r}turn {right} {name}", f"switch {name} {wrong}{r}{right}", f"turn {name} {wrong}{r}turn it {right}",
                               f"{name} {wrong}{r}{right}", f"switch {wrong}{r}switch {right} {name}"])
        else:
            say = {"true": "open", "false": rng.choice(["close", "shut"])}
            text = rng.choice([f"{say[wrong]}{r}{say[right]} {name}", f"{say[wrong]} {name}{r}{say[right]} it", f"{say[wrong]}{r}I want you to {say[right]} {name}"])
        return self.own_ask(tool, finish(rng, wrap_order(rng, text) if rng.random() < 0.3 and state.kind == "openclose" else text), args)

    def own_ask(self, tool, text, args):
        """An ask that no line of the tool's archetype has made."""
        ask = Ask(tool, "I", text, args, text)
        return ask if self.speaker.needs_met(ask) else None

    def abandoned(self):
        """An order is given up for another one."""
        rng, speaker = self.rng, self.speaker
        if len(self.toolset.tools) < 2 or any({"cancel", "progstop", "stopall"} & set(tool.arch.keys) for tool in self.toolset.tools):
            return None
        asks = [speaker.ask(tool, "I", wrap=False) for tool in rng.sample(self.toolset.tools, 2)]
        if not all(asks) or not all(map(speaker.needs_met, asks)) or MARK_OPEN in asks[0].raw:
            return None
        if any(re.search(r"\b(never|no more|cancel|forget|instead|off and on)\b", ask.raw) for ask in asks):
            return None
        first, last = asks
        begun = first.raw.split()
        if rng.random() < 0.4 and len(begun) > 4:
            begun = begun[:rng.randint(2, len(begun) - 1)]
            if re.fullmatch(r"\d.*|and|of|no", begun[-1]):
                return None
        text = rng.choice(ABANDONED).replace("{a}", " ".join(begun)).replace("{b}", last.raw)
        last.text = finish(rng, text)
        return last
