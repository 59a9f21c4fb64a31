"""Indirect sentences for kinds of devices that many domains have: lights, fans, heaters and the like.

They are used only where one thing of the toolset is of that kind, and nothing else could be meant.
"""

import re

from phrases import expand

KINDS = {
    "light": (r"\blights?\b|\blamps?\b|floodlights|spotlight|searchlight", r"light|lamp|bright|spot|dark|lumin|dim|beacon"),
    "fan": (r"\bfans?\b|blower|extractor|extraction", r"fan|blow|extract|vent|air|cool|condition|window|door|curtain|flap"),
    "heater": (r"\bheaters?\b|heating|heat pad", r"heat|warm|temperature|boiler|burner|climate|cool|chill|condition|dryer|frost"),
    "pump": (r"drain pump|drainage pump", r"pump|drain|valve|water"),
    "speaker": (r"music player|music box|\bmusic\b|loudspeakers", r"music|sound|volume|speaker|jingle|noise"),
}
SAID = {
    ("light", "on"): ["(it's|it is|it has become) (too dark|pitch dark|rather dark|getting dark|so gloomy) (in here|out here|here|to work)", "I can't see (a thing|my hand in front of my face|what I'm doing|where I'm going)",
                      "(we're|I'm) (sitting|standing|working) in the dark", "(the sun|it) (has gone down|is going down), we (can hardly see|are fumbling about)", "somebody will break a leg in this darkness"],
    ("light", "off"): ["(it's|it is) (bright enough|broad daylight) (now|outside), (no need to burn electricity|why are we burning electricity)", "(the sun is up|it's daylight), we can see without electricity",
                       "that glare (hurts my eyes|gives me a headache)", "(I'd|we'd) rather sit in the dark"],
    ("fan", "on"): ["(it's|it is) (so stuffy|stuffy|airless|hard to breathe) (in here|in this place|)", "we could do with a bit of (a breeze|fresh air|moving air)", "the air (doesn't move|stands still) in here"],
    ("fan", "off"): ["there's (an awful|a nasty|a terrible) draught", "(the wind from that thing|that draught) blows my papers about", "(I'm|we're) sitting in a draught"],
    ("heater", "on"): ["(I'm|we're) (freezing|shivering|cold to the bone)", "my (fingers|toes) are (numb|like ice)", "(it's|it is) (bitterly|terribly|far too) cold (in here|today|this morning)", "you can see your breath in here"],
    ("heater", "off"): ["(we're|I'm) (sweating|roasting), (this is|that's) far too hot", "(it's|it has become) like a furnace in here"],
    ("pump", "on"): ["(we're|I'm) standing in water", "(the floor|everything) is under water"],
    ("speaker", "on"): ["(it's|it is) so quiet in here, a tune would be nice", "(people|the guests) would like something to listen to"],
    ("speaker", "off"): ["(I can't hear myself think|nobody can talk) with that (racket|tune) going"],
}


def names_of(toolset):
    """All that the tools of a toolset are about: the items of their enums, and single things."""
    found = set()
    for tool in toolset.tools:
        found |= {item.name for param in tool.params for item in param.items}
        found |= {tool.thing, tool.quantity.thing if tool.quantity else "", tool.name.replace("_", " ")} if tool.thing else {tool.name.replace("_", " ")}
    return found


def general(rng, name, key, toolset):
    """A few indirect sentences for a device, if it is the only one of its kind here."""
    for kind, (own, rivals) in KINDS.items():
        if re.search(own, name) and (kind, key) in SAID:
            others = [other for other in names_of(toolset) if re.search(rivals, other) and name not in other and other not in name]
            if not others and not re.search("night light|traffic|signal|card|on-air|exit|neon|black|cure|curing|ultra|fog|rain|frost|camera|hive|drinker|core|crust", name):
                return [expand(rng, rng.choice(SAID[kind, key])) for _ in range(2)]
    return []
