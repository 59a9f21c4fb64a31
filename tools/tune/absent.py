"""Orders and questions for what is not there: a thing, a number, a word, a way to read it or to undo it."""

import re

import banks
import ground
from asks import article, spoken_item
from phrases import MARK_OPEN, finish, wrap_order, wrap_question

# What has an opposite that needs a tool of its own: key of the tool there is -> keys that would do it, and how it is asked for.
OPPOSITES = {
    "on": ("off stopall lockout runfor delayoff offat restart mode", ["turn off {x}", "stop {x}", "switch {x} off", "shut {x} down"]),
    "off": ("on runfor onat daily restart start mode", ["turn on {x}", "start {x}", "switch {x} on", "get {x} going"]),
    "open": ("close gpos closeat openfor", ["close {x}", "shut {x}", "{x} closed, please"]), "close": ("open gpos openfor unlock lock", ["open {x}", "open {x} up", "{x} open, please"]),
    "lock": ("unlock", ["unlock {x}", "unbolt {x}"]), "unlock": ("lock", ["lock {x}", "bolt {x}", "lock {x} up"])}


class Absent:
    """For `Refusals`."""

    def no_gone(self):
        """ "The south fan", where there are an east and a west one; "drying mode", where it heats and cools."""
        found = [(tool, param, line) for tool in self.toolset.tools for param in tool.params if param.gone
                 for line in self.speaker.lines(tool, "IQSF") if re.search(rf"{{-?{param.role}}}", line.text)]
        if not found:
            return None
        tool, param, line = self.rng.choice(found)
        # Whoever asks speaks of it as if it were there, and of nothing else.
        there, param.items = param.items, [param.gone]
        ask = self.speaker.ask(tool, line=line)
        param.items = there
        if MARK_OPEN in ask.text:
            return None
        self.lacks(tool, param)
        return ask.text

    def no_held(self):
        """A thing of such a place that this machine does not have."""
        return self.absent(self.toolset.held)

    def no_foreign(self):
        other = self.rng.choice(banks.domains())
        things = [(slot, name.rstrip("*")) for slot in ("dev", "gate", "mat", "sens", "set") for name in other.slots.get(slot, [])]
        return self.absent(things) if other.name != self.toolset.domain.name else None

    def absent(self, things):
        rng, known = self.rng, self.known_words()
        things = [(slot, name) for slot, name in things if not any(w.rstrip("s") in known or w in known for w in name.lower().split())]
        if not things:
            return None
        slot, name = rng.choice(things)
        order = {"dev": ["turn on the {x}", "switch off the {x}", "start the {x}", "stop the {x}", "shut down the {x}", "let the {x} run for ten minutes", "put the {x} on", "is the {x} on?",
                         "has the {x} stopped?", "we need the {x} now", "nobody needs the {x} any more", "the {x} should be off by now"],
                 "gate": ["open the {x}", "close the {x}", "lock the {x}", "is the {x} shut?", "the {x} should be open", "somebody left the {x} open", "open the {x} halfway"],
                 "mat": ["add some {x}", "dispense 20 grams of {x}", "order more {x}", "how much {x} is left?", "put in a bit of {x}", "is there any {x} left?"],
                 "sens": ["what's the {x}?", "read the {x}", "how high is the {x} now?", "tell me the {x}", "show me the {x} of last week"],
                 "set": ["set the {x} to 20", "raise the {x} a little", "bring the {x} down to fifteen", "what is the {x} set to?"]}[slot]
        text = rng.choice(order).replace("{x}", name)
        if text.endswith("?"):
            return finish(rng, wrap_question(rng, text.rstrip("?")), "?")
        return self.speaker.wrapped("I", text) if not re.match(r"(we|nobody|the|somebody) ", text) else finish(rng, text)

    def no_beyond(self):
        """ "Valve 9", where there are four."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if (p := self.speaker.item_param(t)) and len(p.items) > 1 and all(item.number for item in p.items)]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = self.speaker.item_param(tool)
        base, n = param.items[0].name.rsplit(" ", 1)[0], max(item.number for item in param.items) + rng.randint(1, 4)
        ask = self.speaker.ask(tool, "IQ", item=param.items[0], item_text=rng.choice([f"{base} {n}", f"{base} {ground.words(n)}", f"{base} number {n}"]))
        if not ask or MARK_OPEN in ask.text or "{" + param.role not in ask.line.text and "-" + param.role not in ask.line.text:
            return None
        self.lacks(tool, param)
        return ask.text

    def no_unread(self):
        """A question about a thing that can only be switched or opened, or asked in another way."""
        rng, keys, found = self.rng, self.keys(), []
        if "status" in keys or not self.toolset.pools:
            return None
        told = {word for tool in self.toolset.tools if self.speaker.is_read(tool) for p in tool.params for item in p.items for word in item.name.split()}
        told |= {word for tool in self.toolset.tools if self.speaker.is_read(tool) for word in tool.thing.split()}
        for tool in self.toolset.tools:
            param = self.speaker.item_param(tool)
            things = [article(item) for item in param.items if not item.number and not item.plural] if param else [f"the {tool.thing}"] if tool.thing else []
            silent = [x for x in things if not told & set(x.split()[1:])]
            if {"on", "off"} & set(tool.arch.keys) and not {"isrun", "hours", "powerof"} & keys:
                found += [text.replace("{x}", x) for x in silent for text in ("is {x} on", "is {x} still running", "did anybody turn {x} off", "how long has {x} been on", "what is {x} doing")]
            if {"open", "close"} & set(tool.arch.keys) and "isopen" not in keys:
                found += [text.replace("{x}", x) for x in silent for text in ("is {x} open", "is {x} properly closed", "who opened {x}", "did somebody shut {x}")]
            if "read" in tool.arch.keys and not {"hist", "avg", "max", "min", "stat", "export", "zhist", "energy"} & keys:
                found += [text.replace("{x}", x) for x in things for text in ("what will {x} be tomorrow", "how high was {x} last week", "what was {x} yesterday", "what is the average of {x} over a week")]
            if "set" in tool.arch.keys and tool.arch.thing == "set" and not {"getset", "read", "hist", "up"} & keys:
                found += [f"what is the {tool.quantity.thing} set to", f"which {tool.quantity.attr} did we set for the {tool.quantity.thing}"]
        return finish(rng, wrap_question(rng, rng.choice(found)), "?") if found else None

    def no_opposite(self):
        """What would undo a thing, where only the doing has a tool."""
        rng, keys, found = self.rng, self.keys(), []
        for tool in self.toolset.tools:
            for key in tool.arch.keys:
                others, ways = OPPOSITES.get(key, ("", []))
                if not ways or set(others.split()) & keys or len(tool.arch.keys) > 1:
                    continue
                param = self.speaker.item_param(tool)
                x = spoken_item(rng, param, rng.choice(param.items), self.toolset) if param else f"the {tool.thing}" if tool.thing else None
                if x and any(other is not tool and {"set", "spd", "mode", "light"} & set(other.arch.keys) and set(other.name.split("_")) & set(x.split()) for other in self.toolset.tools):
                    continue
                found += [way.replace("{x}", x) for way in ways] if x else []
        if not found:
            return None
        text = rng.choice(found)
        return finish(rng, text if "please" in text else wrap_order(rng, text))

    def no_unsettable(self):
        """A sensor, which can only be read."""
        rng = self.rng
        settings = {word for tool in self.toolset.tools if not self.speaker.is_read(tool) for name in (tool.name, tool.description, tool.thing) for word in re.findall(r"[a-z]+", name.lower())}
        settings |= set(f"{q.attr} {q.thing}".split()) if (q := self.toolset.domain.zone) else set()
        found = [(tool, item.name) for tool in self.toolset.tools if "read" in tool.arch.keys for item in (self.speaker.item_param(tool).items if self.speaker.item_param(tool) else [])]
        found += [(tool, tool.thing) for tool in self.toolset.tools if "read" in tool.arch.keys and tool.thing]
        found = [(tool, name) for tool, name in found if not settings & set(name.lower().split()) and ("sens", name) in self.toolset.domain.amounts]
        if not found or not self.toolset.pools:
            return None
        tool, name = rng.choice(found)
        q = self.toolset.domain.amounts["sens", name]
        value = round(q.low + (q.high - q.low) * rng.choice([0.2, 0.4, 0.5, 0.7])) if q.high > q.low else 20
        text = rng.choice(["set the {x} to {v}", "bring the {x} down to {v}", "change the {x} to {v}", "the {x} should be {v}", "make the {x} {v}", "I want the {x} at {v}"])
        return finish(rng, text.replace("{x}", name).replace("{v}", f"{value}"))
