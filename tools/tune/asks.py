"""Sentences for one tool: a template filled in, with the arguments that it means."""

import json
import re
from dataclasses import dataclass

import ground
import programs
import texts
from phrases import MARK_CLOSE, MARK_OPEN, POLITE, expand, finish, wrap_order, wrap_question
from hints import general
from toolsets import HOW, READS, WARM, plural

BARE_PLACES = set("centre stage;down left;up right;backstage;goods in;packing;despatch;alpha;bravo;counter one;counter two;pallet one;"
                  "pallet two;fixture a;fixture b;upwind;returns".split(";"))
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
# Words behind which a span of time has no article.
BEFORE_SPAN = "every|each|last|past|next|another|further|these|the|a|an"
REPAIRS = ["no wait", "no", "sorry, I mean", "I mean", "or rather", "no, sorry,", "ah no,", "wait, no,"]
AROUND_HINT = ["{s}"] * 5 + ["hey, {s}", "look, {s}", "you know what, {s}", "listen, {s}", "okay, {s}", "well, {s}", "so, {s}", "hello, {s}", "right, {s}"]


@dataclass
class Ask:
    tool: object
    kind: str           # I, Q, S, F, A, M, H (a hint) or T (as a recogniser wrote it)
    text: str
    args: dict          # role -> value
    raw: str = ""       # an order before anything was wrapped around it
    line: object = None
    item: object = None


def article(item):
    if item.number or item.name in BARE_PLACES or re.search(r"\d$", item.name) or item.name.startswith(("cage ", "nutrient ")):
        return item.name
    return f"the {item.name}"


def singular(name):
    return name[:-2] if name.endswith("oes") else name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def spoken_item(rng, param, item, toolset):
    """What people call an item, with its article."""
    noun = toolset.domain.nouns.get("zone") if param.kind == "enum" and item in toolset.pools.get("zone", []) else ""
    if item.number:
        base = item.name.rsplit(" ", 1)[0]
        n = item.number
        ways = [f"{base} {n}", f"{base} {n}", f"{base} {ground.words(n)}", f"{base} number {ground.words(n)}"]
        ways += [f"the {ORDINALS[n - 1]} {base}"] if 1 <= n <= len(ORDINALS) else []
        return rng.choice(ways)
    if item.also and rng.random() < 0.35:
        return f"the {rng.choice(item.also)}"
    if noun and noun not in item.name and not re.search(rf"\b{item.name.split()[-1]}$", noun) and item.name.split()[-1] not in (
            "room", "pool", "hall", "floor", "town", "street", "plan", "water", "wing", "bathroom", "kitchen", "bedroom", "study",
            "boardroom", "kitchenette", "archive", "reception", "hillside", "upstairs", "hydrant"):
        if rng.random() < 0.95 or noun in ("row", "deck", "string", "stand", "section", "cabin", "bay", "stall", "block", "circuit"):
            return f"the {singular(item.name)} {noun}"
    if item.name == "upstairs":
        return "the upstairs circuit"
    return article(item)


def number_for(rng, param, outside=False):
    """A value of a parameter that somebody would ask for."""
    q, spec = param.quantity, param.spec
    low, high = q.low, q.high
    if outside:
        big = high + max(1, round((high - low) * rng.choice([0.3, 0.5, 1.0, 2.0])))
        return float(int(big) if big < 100 else round(big, -1))
    if q.attr == "span":
        usual = {"hours": [1, 2, 3, 4, 6, 8, 10, 12, 18, 24, 24, 36, 48, 72, 168, 168], "days": [1, 2, 3, 4, 5, 7, 7, 10, 14, 21, 30, 60, 90]}[q.unit]
        return float(rng.choice([v for v in usual if low <= v <= high]))
    if q.attr == "duration":
        usual = {"seconds": [5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 600, 900, 1200], "days": [1, 2, 3, 4, 5, 7, 10, 14, 21],
                 "minutes": [1, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 60, 75, 80, 90, 120, 150, 180, 240],
                 "hours": [1, 2, 3, 4, 5, 6, 8, 10, 12, 18, 24, 36, 48, 72]}[q.unit]
        return float(rng.choice([v for v in usual if low <= v <= high] or [low, high]))
    spread = high - low
    step = 0.5 if spec["type"] == "number" and spread <= 100 and rng.random() < 0.25 else 1
    if spread <= 3 and spec["type"] == "number":
        step = 0.1 if spread <= 2 else 0.5
    if step >= 1:
        step = 5 if 60 < spread <= 300 and rng.random() < 0.8 else 1
        if spread > 300:
            step = rng.choice([10, 50, 50, 100] if spread < 2000 else [100, 100, 250, 500])
    count = int(spread / step)
    first = -(-low // step) * step
    value = round(first + step * rng.randint(0, max(0, count)), 2)
    return min(max(value, low), high)


def number_text(rng, param, value):
    q = param.quantity
    if q.attr == "span":
        return ground.past(rng, value, q.unit)
    if q.attr == "count":
        return ground.bare(rng, value)
    text = ground.spoken(rng, value, q.unit)
    if text in ("half", "a quarter", "three quarters") and q.attr not in ("brightness", "volume", "share", "power", "output", "speed", "opening"):
        return f"{ground.plain(value)} percent"
    return text


def agree(word, plural):
    return {"is": ("is", "are"), "has": ("has", "have"), "does": ("does", "do"), "doesn't": ("doesn't", "don't")}[word][plural]


def question_of(rng, name, unit):
    """How one asks for a sensor, without the article of its name."""
    *first, last = name.split()
    if last == "temperature" and len(first) == 1 and first[0] in WARM:
        if first[0] in ("bearing", "blade", "ramp", "cable", "drum", "spindle", "torch", "panel", "bench", "gearbox", "air", "water", "soil", "milk"):
            return f"how {rng.choice(['warm', 'hot', 'cold'])} is the {first[0]}"
        return f"how {rng.choice(['warm', 'hot', 'cold'])} is it in the {first[0]}" if first[0] in ("room", "hall", "cellar", "studio", "nave", "cabin", "auditorium", "tunnel", "vault") else f"how warm is the {first[0]}"
    if last == "level" and unit == "percent" and first and first[-1] in ("tank", "trough", "reservoir", "bin", "basin", "store"):
        return f"how full is the {' '.join(first)}"
    if name == "wind speed":
        return rng.choice(["how hard is the wind blowing", "how windy is it", "how strong is the wind"])
    if unit:
        return f"how high is the {name}"
    return rng.choice([f"what's the {name} now", f"what's the number for {name}"])


class Speaker:
    """Makes sentences for the tools of one toolset."""

    def __init__(self, rng, toolset):
        self.rng, self.toolset = rng, toolset
        self.used = set()

    def item_param(self, tool):
        return next((p for p in tool.params if p.kind == "enum"), None)

    def is_read(self, tool):
        return any(key in READS for key in tool.arch.keys)

    def fill(self, tool, line, item=None, item_text=None, value=None, value_text=None, outside=False):
        """A template with its places filled in, or None where a place cannot be."""
        rng = self.rng
        args = dict(line.fixed)
        text = expand(rng, line.text)
        by_role = {p.role: p for p in tool.params}
        domain, zone = self.toolset.domain, self.toolset.domain.zone
        # What is given is of one parameter: a tool may have several that are lists of things.
        chosen, own = {}, self.item_param(tool)
        for role in re.findall(r"\{(?:-|[a-z']+:)?(\w+)\}", text):
            param = by_role.get(role)
            if param is not None and param.items and role not in chosen:
                chosen[role] = item if item and param is own else rng.choice(param.items)
                if role == "side" and tool.arch.family != "craft":
                    chosen[role] = rng.choice(param.items[:2])
                args[role] = chosen[role].token

        def put(match):
            how, role = match[1], match[2]
            param = by_role.get(role)
            if how in ("is", "has", "does", "doesn't"):
                return agree(how, chosen[role].plural)
            if how == "how":
                return question_of(rng, chosen[role].name, domain.amounts["sens", chosen[role].name].unit)
            if role in chosen:
                thing = chosen[role]
                given = item_text if param is own or own is None else None
                said = given or (rng.choice([thing.name, thing.name, *thing.also]) if param.kind == "lit" else spoken_item(rng, param, thing, self.toolset))
                if how == "-" and not given:
                    said = re.sub(r"^the ", "", said)
                return said
            if param is not None and param.kind == "time":
                hour, minute = rng.randint(0, 23), rng.choice([0, 0, 0, 30, 30, 15, 45, 10, 20, 5, 50])
                if role == "until":
                    hour = rng.choice([h for h in range(24) if f"{h:02}" != str(args.get("from", ""))[:2]])
                args[role] = f"{hour:02}:{minute:02}"
                return ground.clock(rng, hour, minute)
            if param is not None and param.kind in programs.DRAWN:
                args[role], said = programs.draw(rng, param)
                return said
            if param is not None and param.kind == "text":
                args[role] = MARK_OPEN
                return MARK_OPEN + texts.draw(rng, param.tokens["bank"], domain, "that {" in line.text) + MARK_CLOSE
            if param is not None and param.quantity is not None:
                number = number_for(rng, param, outside) if value is None else value
                args[role] = number
                said = value_text or number_text(rng, param, number)
                if value_text is None and param.quantity.unit == "percent" and (param.quantity.attr == "share" or re.search(r"\} (open|closed|shut|of the way)", line.text)):
                    while not re.search("percent|per cent|%|half|quarter", said):
                        said = number_text(rng, param, number)
                # "Every a minute", "the next about two hours".
                if value_text is None and re.search(rf"\b({BEFORE_SPAN}) {{-?{role}}}", line.text):
                    tries = (number_text(rng, param, number) for _ in range(40))
                    said = next((way for way in tries if not re.match(r"(a|an|about|roughly|exactly)\b", way)), said)
                return said
            if role in ("thing", "attr"):
                q = tool.quantity
                return {"thing": q.thing if tool.arch.thing == "set" else tool.thing, "attr": q.attr if q else "level"}[role]
            if role == "how":
                return question_of(rng, tool.thing, tool.quantity.unit)
            words = {"zattr": zone and zone.attr, "zslot": zone and zone.thing, "role": domain.roles[0], "role2": domain.roles[1],
                     "zhow": zone and rng.choice(HOW.get(zone.attr, [f"what's the {zone.attr}"])), "slot": domain.nouns.get("gate")}
            return words[role]

        text = re.sub(r"\{zslot\}s\b", lambda m: plural(zone.thing), text)
        text = re.sub(r"\{(-|[a-z']+:)?(\w+)\}", lambda m: put((m[0], (m[1] or "").rstrip(":"), m[2])), text)
        text = re.sub(r"\bthe (the|an?) ", r"\1 ", text)
        return text, args

    def is_doorlike(self):
        return bool(re.search(r"door|gate$|barrier|bay|hatch|kennel", self.toolset.domain.nouns.get("gate", ""))) and self.toolset.domain.nouns["gate"] not in ("blast gate", "lock gate")

    def lines(self, tool, kinds):
        found = [line for line in tool.arch.lines if line.kind in kinds]
        if tool.arch.family == "gates" and not self.is_doorlike():
            found = [line for line in found if not re.search(r"waiting|through|in front of|key|get in\b|let them in|knock|ajar|walk", line.text)]
        if tool.attr_needed:
            found = [line for line in found if "{attr}" in line.text]
        return [line for line in found if not line.unless or not self.rivals(tool, line.unless)]

    def rivals(self, tool, keys):
        """Whether another tool of the machine has one of these keys."""
        return any(other is not tool and not keys.isdisjoint(other.arch.keys) for other in self.toolset.tools)

    def contested(self, key, name):
        """Whether something else on the machine could answer an indirect sentence about this thing as well."""
        if key in ("on", "off") and any("up" in tool.arch.keys and tool.quantity and tool.quantity.thing == name for tool in self.toolset.tools):
            return True
        return any(self.has(*other) for other in self.of_domain("rivals", key, name))

    def of_domain(self, what, key, name):
        """What the domain says of a thing; its names of modes and alarms are written with underscores."""
        bank = getattr(self.toolset.domain, what)
        return bank.get((key, name)) or bank.get((key, name.replace(" ", "_"))) or ()

    def has(self, key, name):
        """Whether a tool of the machine does this with this thing."""
        name = name.replace("_", " ")
        return any(key in tool.arch.keys and (tool.thing == name or any(item.name == name for p in tool.params for item in p.items))
                   for tool in self.toolset.tools)

    def ask(self, tool, kinds="IQSF", line=None, wrap=True, **fixed):
        """One ask of a tool."""
        rng = self.rng
        if line is None:
            found = self.lines(tool, kinds)
            if not found:
                return None
            weights = [{"I": 3, "Q": 3, "S": 2, "F": 1.2}.get(line.kind, 1) for line in found]
            line = rng.choices(found, weights)[0]
        text, args = self.fill(tool, line, **fixed)
        return Ask(tool, line.kind, self.wrapped(line.kind, text) if wrap else text, args, text, line, fixed.get("item"))

    def wrapped(self, kind, text):
        rng = self.rng
        if kind == "T":
            return text
        if self.toolset.is_program:
            return programs.sentence(rng, kind, text)
        if MARK_OPEN in text:
            if kind == "I" and rng.random() < 0.5:
                way = rng.choice([w for w in POLITE if w.endswith(("{i}", "{i}?")) and "now" not in w])
                text = way.replace("{i}", text).replace("?", "")
            return finish(rng, text)
        if kind == "A":
            kind = "Q" if text.split()[0] in ("is", "what", "how", "which") or text.endswith("?") else "I" if text != "on, please" else "F"
        elif kind == "M":
            kind = "I" if re.match(r"(set|change|adjust|move|add|dispense|run|plan|schedule|go|make|send|tell|warn|use)\b", text) else "Q" if text.split()[0] in ("how", "what") else "F"
        if kind == "I":
            has_time = bool(re.search(r"\b(at|in|from|until|for|after|now|every|later|daily)\b", text))
            return finish(rng, wrap_order(rng, text, has_time=has_time))
        if kind == "Q":
            return finish(rng, wrap_question(rng, text) if "?" not in text else text, "?")
        if kind == "H":
            return finish(rng, rng.choice(AROUND_HINT).replace("{s}", text), "?" if re.match(r"(how|what|where|who|why|which|am|is|are|was|were|do|does|did|has|have|had|would|could|can|will|shall|should|may|shouldn't|isn't|aren't)\b", text) else ".")
        if kind == "S" and rng.random() < 0.2 and "please" not in text:
            text = rng.choice(["{s}, please", "{s}, thanks", "hey, {s}", "I think {s}", "so {s}", "well, {s}", "{s}, okay?", "look, {s}"]).replace("{s}", text)
        return finish(rng, text)

    def hint(self, tool):
        """An indirect sentence that only this tool of the machine answers."""
        rng = self.rng
        found = []
        for key, fixed in tool.arch.keys.items():
            param = self.item_param(tool)
            names = [(item.name, param, item) for item in param.items if not item.number] if param else [(tool.thing, None, None)] if tool.thing else []
            names = [entry for entry in names if not self.contested(key, entry[0])]
            found += [(said, fixed, param, item) for name, param, item in names
                      for said in self.of_domain("hints", key, name)]
            if tool.arch.family not in ("machine", "craft") and key in ("on", "off"):
                found += [(said, fixed, param, item) for name, param, item in names for said in general(rng, name, key, self.toolset)]
        found = [entry for entry in found if entry[0] not in self.used]
        lines = [line for line in self.lines(tool, "H") if line.text not in self.used]
        if lines and rng.random() * (len(lines) + len(found)) < len(lines):
            line = rng.choice(lines)
            self.used.add(line.text)
            return self.ask(tool, line=line)
        if not found:
            return None
        said, fixed, param, item = rng.choice(found)
        self.used.add(said)
        args = dict(fixed)
        if param:
            args[param.role] = item.token
        return Ask(tool, "H", self.wrapped("H", said), args)

    def needs_met(self, ask):
        return all(p.role in ask.args or "default" in p.spec or p.spec.get("optional") for p in ask.tool.params)

    def answer(self, ask, verbatim=""):
        """The call in the compact syntax."""
        parts = []
        for param in ask.tool.params:
            if param.role in ask.args:
                parts.append(f"{param.name}={self.written(param, ask.args[param.role], verbatim)}")
        return f"{ask.tool.name}({', '.join(parts)})"

    def written(self, param, value, verbatim):
        if param.kind in programs.DRAWN:
            return programs.written(value)
        if value == MARK_OPEN:
            return json.dumps(verbatim, ensure_ascii=False)
        value = param.tokens.get(value, value) if param.kind in ("onoff", "openclose", "bool", "lit") else value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return ground.plain(value)
        bare = param.spec.get("type") == "integer" or value[:1].isalpha() and re.fullmatch(r"[\w.\-]+", value) and value not in ("true", "false", "null")
        return value if bare else json.dumps(value, ensure_ascii=False)
