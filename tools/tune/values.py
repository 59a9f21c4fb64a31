"""Sentences in which numbers make it hard: a number of something else, two of which each has its place, an old value
beside the new one, a number in a name, the ends of a range, parts, and times in other words.
"""

import re
from dataclasses import replace

import ground
from asks import number_for, number_text, spoken_item
from phrases import MARK_OPEN, expand, finish

# Who or what is counted, and nothing that a machine could be set to. {n} is a small number.
BESIDE = [
    "the {n} of us (agree|are waiting|can see it's not right|have talked it over)", "(we are|there are) {n} people (in here|waiting|on this shift)", "my {n} colleagues (say it's time|are asking for it)",
    "this is the {nth} time I (ask|say it)", "I've (said|asked|told you) {n} times now", "as it says on (page|line|sheet) {n}", "point {n} on my list",
    "there are {n} visitors (here|coming)", "(the boss|my brother) has called {n} times", "I have {n} (more|other) things to do", "{n} people complained (today|already)",
    "I only have {n} hands", "we voted, {n} against none", "I'm on shift {n}", "it's job {n} today", "there's just {n} of us", "the {n} new ones want to see it",
    "we've got {n} guests (here|coming)", "that's rule number {n}", "{n} of the neighbours (asked|have asked)",
]
AFTER = ["there are {n} of us", "that's what all {n} of us want", "I've asked {n} times", "it's the {nth} time", "{n} people are waiting", "that makes {n} jobs done", "the {n} of us agree"]
BY_TOOL = {
    "run_for_many": ["{minutes} on {device}", "{device} for {minutes} please", "keep {device} going for {minutes}, not longer", "{device} should be on for {minutes}", "for {minutes} I want {device} on"],
    "run_for_one": ["for the next {seconds} I want the {thing} on", "keep the {thing} going for {seconds}", "the {thing} for {seconds} please", "let the {thing} have {seconds}"],
    "off_at": ["keep {device} on until {at}", "{device} until {at} and no longer", "{device} may stay on until {at}", "let {device} go on until {at}, then off"],
    "on_at": ["from {at} I want {device} on", "{device} on from {at}", "not now, start {device} at {at}", "at {at}, {device} on"],
    "daily": ["{minutes} of {device} every day at {at}", "daily at {at}, {minutes} of {device}", "each day {device} from {at} for {minutes}", "put {device} on every day at {at}, for {minutes}"],
    "delay_off": ["{minutes} from now the {thing} should go off", "in {minutes}, off with the {thing}"],
    "open_for": ["{gate} open for {seconds}", "for {seconds}, hold {gate} open", "open {gate}, {seconds} is enough"],
    "ramp": ["over {minutes}, bring the {thing} {attr} to {value}", "take {minutes} to get the {thing} to {value}", "the {thing} {attr} to {value}, spread over {minutes}", "in {minutes} the {thing} should have got to {value}"],
    "zone_plan": ["at {at}, {value} in {zone}", "make it {value} in {zone} at {at}", "{zone}: {value} at {at}", "{value} for {zone}, at {at}", "from {at} {zone} should have {value}"],
    "set_at": ["at {at} set the {thing} to {value}", "the {thing} {attr} to {value} at {at}", "{value} on the {thing} from {at}", "from {at}, {value} for the {thing}"],
    "zone_set": ["{zone}: {value}", "{zone} at {value}", "{zone} to {value}", "{value} {zone}", "we'd be happy with {value} in {zone}", "{zone} needs {value}"],
    "prog_in": ["in {minutes}, {program}", "{program}, but only in {minutes}", "leave it for {minutes}, then {program}"],
    "window": ["between {from} and {until} the {thing} may run", "the {thing} only from {from} to {until}"], "quiet": ["quiet hours between {from} and {until}", "it must be quiet from {from} to {until}"],
    "schedule_watering": ["{minutes} of {valve} every day at {at}", "water with {valve} daily at {at}, {minutes} long"], "feed_daily": ["{kilograms} for {pen} every day at {at}"],
}
PARTS = {20: ["a fifth", "one fifth"], 40: ["two fifths"], 60: ["three fifths"], 80: ["four fifths"], 10: ["a tenth"], 25: ["a quarter", "one quarter"], 75: ["three quarters"], 50: ["half", "one half"]}
SHARES = ("brightness", "volume", "power", "output", "speed", "share", "opening")
COUNTED = {2: ["twice", "twice over", "a couple of times"], 3: ["three times over", "thrice"], 6: ["half a dozen times"], 12: ["a dozen times", "twelve times over"]}


class Values:
    """For `Pairs`: the kind values."""

    def values(self):
        ways = [self.beside] * 3 + [self.instead] * 4 + [self.from_to] * 2 + [self.now_is] * 4 + [self.by_tool] * 6 + [self.numbered] * 3
        ways += [self.at_end] * 2 + [self.as_part] * 2 + [self.counted] * 2 + [self.since_yesterday]
        for _ in range(6):
            ask = self.rng.choice(ways)()
            if ask and self.speaker.needs_met(ask):
                text = self.heard(ask.text, self.rng.choice([0, 0, 1])) if self.rng.random() < 0.25 else ask.text
                return self.finished([ask], text, kind="values")
        return None

    def small_number(self):
        n = self.rng.choice([2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 12])
        return n, self.rng.choice([str(n), ground.words(n)])

    def beside(self):
        """A number that belongs to no parameter, before or after the order."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if any(p.quantity is not None for p in t.params)]
        ask = self.one(rng.choice(tools) if tools and rng.random() < 0.7 else None)
        if not ask or MARK_OPEN in ask.text or ask.kind == "H" or re.search(r"[.!?].|\bthe (first|second|third|fourth|fifth|sixth)\b", ask.text):
            return None
        n, said = self.small_number()
        nth = rng.choice(["second", "third", "fourth", "fifth", "2nd", "3rd", "4th"])
        asked = ask.text.endswith("?")
        text = ask.text.rstrip(".?! ")
        text = text if text.split()[0] in ("I", "I'd", "I've", "I'm") or text[:2].isupper() else text[:1].lower() + text[1:]
        if rng.random() < 0.75 or asked:
            lead = expand(rng, rng.choice(BESIDE)).replace("{n}", said).replace("{nth}", nth)
            if lead.startswith("there's just 1") or re.search(r"\b(alarm|visitors|guests)\b", lead) and self.known_words() & {"visitor", "guest"}:
                return None
            text = f"{lead}{rng.choice([', ', ': ', '. ', ', so '])}{text}" + ("?" if asked else "")
            text = re.sub(r"\. (\w)", lambda m: f". {m[1].upper()}", text)
        else:
            text = f"{text}, {expand(rng, rng.choice(AFTER)).replace('{n}', said).replace('{nth}', nth)}"
        return replace(ask, text=finish(rng, text, "?" if asked else "."))

    def settable(self):
        """A tool that sets a value now, and that parameter."""
        found = [(t, p) for t in self.toolset.tools for p in t.params if p.quantity is not None and p.quantity.attr not in ("span", "duration", "count")
                 and {"set", "zset", "gpos", "vol"} & set(t.arch.keys) and sum(q.quantity is not None for q in t.params) == 1]
        return self.rng.choice(found) if found else (None, None)

    def two_values(self, param):
        first, value = number_for(self.rng, param), number_for(self.rng, param)
        return (first, value) if first != value else (None, None)

    def lines_of(self, tool, kinds, param):
        return [line for line in self.speaker.lines(tool, kinds) if "{" + param.role + "}" in line.text]

    def instead(self):
        """ "To 40 instead of 30": the new value and the old one."""
        rng, (tool, param) = self.rng, self.settable()
        lines = tool and [line for line in self.lines_of(tool, "IF", param) if "of the way" not in line.text]
        first, value = self.two_values(param) if lines else (None, None)
        if first is None:
            return None
        old, new = ground.bare(rng, first), number_text(rng, param, value)
        said = rng.choice([f"{new} instead of {old}", f"{new}, not {old}", f"{new} rather than {old}", f"{new} and not {old}", f"not {old} but {new}"])
        return self.speaker.ask(tool, line=rng.choice(lines), value=value, value_text=said)

    def from_to(self):
        rng, (tool, param) = self.rng, self.settable()
        lines = tool and [line for line in self.lines_of(tool, "I", param) if "to {" + param.role + "}" in line.text]
        first, value = self.two_values(param) if lines else (None, None)
        if first is None:
            return None
        line = rng.choice(lines)
        way = rng.choice(["from {w} to {v}", "from {w} up to {v}" if value > first else "from {w} down to {v}"]).replace("{w}", ground.bare(rng, first))
        place = "to {" + param.role + "}"
        line = replace(line, text=line.text.replace(place, way.replace("to {v}", place)))
        return self.speaker.ask(tool, line=line, value=value)

    def now_is(self):
        """The value that it has now, and the one that is wanted."""
        rng, (tool, param) = self.rng, self.settable()
        lines = tool and self.lines_of(tool, "IFSQ", param)
        first, value = self.two_values(param) if lines else (None, None)
        if first is None:
            return None
        ask = self.speaker.ask(tool, line=rng.choice(lines), value=value, wrap=False)
        now = number_text(rng, param, first)
        degree = "only" if value > first else "still"
        lead = rng.choice([f"it's {degree} {now} now", f"it's at {now} at the moment", f"it was {now} this morning", f"{now} is not right", f"it says {now} here", f"we have {now}",
                           f"{now} is too {'little' if value > first else 'much'}", f"yesterday it was {now}", f"I see {now} here"])
        return replace(ask, text=finish(rng, f"{lead}{rng.choice([', ', ', ', '; ', ', so '])}{ask.text}"))

    def by_tool(self):
        """Two values of which each has its place, and "until" beside "for"."""
        rng = self.rng
        found = [(tool, text) for tool in self.toolset.tools for text in BY_TOOL.get(tool.arch.name, [])
                 if all(role in ("thing", "attr") or role in {p.role for p in tool.params} for role in re.findall(r"\{(\w+)\}", text)) and not (tool.attr_needed and "{attr}" not in text)]
        if not found:
            return None
        tool, text = rng.choice(found)
        rival = {"run_for_one": "delay_off", "delay_off": "run_for_one"}.get(tool.arch.name)
        if any(other.arch.name == rival and other.thing == tool.thing for other in self.toolset.tools):
            return None
        line = replace(tool.arch.lines[0], kind="F", fixed={}, text=text)
        return self.speaker.ask(tool, line=line)

    def numbered(self):
        """A value beside the number of a name: "zone 3 to 20 degrees"."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if (p := self.speaker.item_param(t)) and any(item.number for item in p.items) and any(q.quantity or q.kind == "time" for q in t.params)]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = self.speaker.item_param(tool)
        item = rng.choice(param.items)
        line = rng.choice(self.lines_of(tool, "IFSQ", param) or [None])
        base = item.name.rsplit(" ", 1)[0]
        said = rng.choice([item.name, f"{base} {ground.words(item.number)}", f"number {ground.words(item.number)}", f"number {item.number}", spoken_item(rng, param, item, self.toolset)]) if item.number else None
        if line and re.search(r"\{\S*%s\} \{" % param.role, line.text):
            said = said and item.name
        return self.speaker.ask(tool, line=line, item=item, item_text=said) if line and said else None

    def at_end(self):
        """The greatest or the smallest value."""
        rng, (tool, param) = self.rng, self.settable()
        if not tool or any({"limit", "zlimit", "alarmhi", "alarmlo", "max", "min", "stat"} & set(t.arch.keys) for t in self.toolset.tools):
            return None
        lines = [line for line in self.lines_of(tool, "IF", param) if not re.search("limit|open", line.text)]
        if not lines:
            return None
        most = rng.random() < 0.6
        share = param.quantity.attr in SHARES and param.quantity.unit == "percent" and most
        said = rng.choice(["the maximum", "maximum", "the highest value"] + (["full", "full power"] if share and param.quantity.attr in ("power", "output") else [])) if most else rng.choice(["the minimum", "minimum", "the lowest value"])
        return self.speaker.ask(tool, line=rng.choice(lines), value=param.quantity.high if most else param.quantity.low, value_text=said)

    def as_part(self):
        rng, (tool, param) = self.rng, self.settable()
        if not tool or param.quantity.unit != "percent" or param.quantity.attr not in SHARES:
            return None
        lines = [line for line in self.lines_of(tool, "IF", param) if re.search(r"(to|at|\)) \{" + param.role, line.text)]
        value = rng.choice([v for v in PARTS if param.quantity.low <= v <= param.quantity.high] or [None])
        if not lines or value is None:
            return None
        return self.speaker.ask(tool, line=rng.choice(lines), value=float(value), value_text=rng.choice(PARTS[value]))

    def counted(self):
        """ "Twice", "half a dozen times"."""
        rng = self.rng
        tools = [t for t in self.toolset.tools if any(p.role == "times" and p.quantity for p in t.params)]
        if not tools:
            return None
        tool = rng.choice(tools)
        param = next(p for p in tool.params if p.role == "times")
        value = rng.choice([v for v in COUNTED if param.quantity.low <= v <= param.quantity.high])
        lines = [replace(line, text=line.text.replace("{times} times", "{times}")) for line in self.lines_of(tool, "I", param) if "{times} times" in line.text]
        return self.speaker.ask(tool, line=rng.choice(lines), value=float(value), value_text=rng.choice(COUNTED[value])) if lines else None

    def since_yesterday(self):
        rng = self.rng
        found = [(t, p) for t in self.toolset.tools for p in t.params if p.quantity is not None and p.quantity.attr == "span"]
        if not found:
            return None
        tool, param = rng.choice(found)
        value = {"hours": 24.0, "days": 1.0}.get(param.quantity.unit)
        lines = [replace(line, text=re.sub(r"\((\w+\|)*(over|in|during)(\|\w+)*\) (?=\{%s\})|\b(over|in|during) (?=\{%s\})" % (param.role, param.role), "", line.text)) for line in self.lines_of(tool, "Q", param)]
        lines = [line for line in lines if not re.search(r"\b(of|for|from|these|see|in) \{%s\}|\) \{%s\}" % (param.role, param.role), line.text)]
        if not lines or value is None or not param.quantity.low <= value <= param.quantity.high:
            return None
        ask = self.speaker.ask(tool, line=rng.choice(lines), value=value, value_text="since yesterday", wrap=False)
        return replace(ask, text=finish(rng, ask.text, "?"))
