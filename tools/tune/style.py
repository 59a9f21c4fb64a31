"""How one programmer or another writes the names and descriptions of a machine's tools."""

import re

BRITISH = [("colour", "color"), ("programme", "program"), ("litres", "liters"), ("metres", "meters")]
# Short forms in names of tools.
SHORT = {"temperature": "temp", "humidity": "hum", "position": "pos", "message": "msg", "average": "avg", "maximum": "max", "minimum": "min",
         "schedule": "sched", "program": "prog", "programme": "prog", "maintenance": "maint", "device": "dev", "sensor": "sens",
         "calibrate": "cal", "level": "lvl", "control": "ctrl", "current": "cur", "acknowledge": "ack", "emergency": "emerg",
         "switch": "sw", "number": "no", "operating": "op", "statistics": "stats", "pressure": "press", "setpoint": "sp", "value": "val"}
# Verbs that descriptions begin with, which may stand behind "use this to" or in the third person.
VERBS = set("set tell switch read start run stop turn open change lock let move plan go add choose close acknowledge confirm show write send ask "
            "reset look delete restart bring record hold drive measure report list silence mute keep call make name tare remind get suspend "
            "reboot test take save rinse remove power-cycle clear block mark bolt unlock release wait abort pause continue skip repeat select "
            "dispense dose order note jog nudge ramp limit calibrate export put fix pass append dismiss tick wipe begin beep find raise warn "
            "leave have end carry break forbid say give raise drop shift buy portion".split())


def slug(text):
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


class Style:
    """One style, drawn for a machine that is called `name`."""

    def __init__(self, rng, name, is_program=False):
        self.rng = rng
        # Words of enumerations are written with capitals in one program of three, as "Gluten Free".
        self.titled = is_program and rng.random() < 0.33
        self.manner = rng.random()
        self.separator = rng.choices(["_", " ", "-"], [80, 10, 10])[0]
        self.order = rng.choices(["verb", "noun", "mixed"], [55, 25, 20])[0]
        self.prefix = slug(name)[:4].strip("_") + "_" if rng.random() < 0.1 else ""
        if not self.prefix and rng.random() < 0.04:
            self.prefix = rng.choice(["cmd_", "ctl_", "do_", "m_", "api_"])
        self.short = rng.random() < 0.15
        self.style = rng.choices(["plain", "sentence", "third", "use", "mixed"], [45, 20, 12, 8, 15])[0]
        self.american = rng.random() < 0.3

    def token(self, name):
        """A word of an enum."""
        if self.titled:
            return " ".join(word[:1].upper() + word[1:] for word in name.replace("_", " ").split())
        return re.sub(r"[ _]+", self.separator, name.rstrip("*").lower().replace("'", ""))

    def named(self, name):
        """The name of a tool."""
        if self.american:
            name = name.replace("colour", "color").replace("programme", "program")
        if self.short:
            name = "_".join(SHORT.get(word, word) for word in name.split("_"))
        return self.prefix + slug(name)

    def meaning(self, texts):
        """One of the descriptions of a parameter, which are ordered from terse to whole: mostly of the same manner throughout."""
        manner = self.manner if self.rng.random() < 0.7 else self.rng.random()
        return texts[int(manner * len(texts))]

    def described(self, text):
        """A description: as it is, as a sentence, in the third person, or as the use of the tool."""
        if self.american:
            for british, american in BRITISH[:1] + BRITISH[2:]:
                text = text.replace(british, american)
        style = self.style if self.style != "mixed" else self.rng.choice(["plain", "sentence", "third", "use"])
        first, _, rest = text.partition(" ")
        if style == "third" and first in VERBS and not re.search(r"[,;:]| and |^\w+ or ", text):
            ending = "es" if first.endswith(("s", "sh", "ch", "x", "go")) else "s"
            text = f"{first[:-1]}ies {rest}" if first == "carry" else f"{'has' if first == 'have' else first + ending} {rest}"
            text = text.strip()
        elif style == "use" and first in VERBS and len(text) < 70:
            text = f"{self.rng.choice(['use this to', 'use it to', 'used to', 'lets you', 'to'])} {text}"
        if style in ("sentence", "third") and "; " not in text:
            text = text[0].upper() + text[1:] + self.rng.choice([".", ".", ""])
        return text
