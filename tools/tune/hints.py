"""Indirect sentences for kinds of devices that many domains have: lights, fans, heaters and the like.

They are used only where one thing of the toolset is of that kind, and nothing else could be meant.
"""

import re

from phrases import expand

KINDS = {
    "light": (r"\blights?\b|\blamps?\b|floodlights|spotlight|searchlight", r"light|lamp|bright|spot|dark|lumin|dim|beacon|blind|curtain|night"),
    "fan": (r"\bfans?\b|blower|extractor|extraction", r"fan|blow|extract|vent|air|cool|condition|window|door|curtain|flap|suction|hood|summer"),
    "heater": (r"\bheaters?\b|heating|heat pad", r"heat|warm|temperature|boiler|burner|climate|cool|chill|condition|dryer|frost|winter|\bfan|vent|flow|door"),
    "pump": (r"drain pump|drainage pump", r"pump|drain|valve|water"),
    "speaker": (r"music player|music box|\bmusic\b|loudspeakers", r"music|sound|volume|speaker|jingle|noise|bell|horn|siren|quiet"),
    "compressor": (r"^(air )?compressor$", r"compress|air|pressure|pneumat|cool|chill|ice"),
    "projector": (r"^projector$", r"project|screen|beam|present|picture|film|video|camera"),
    "dehumidifier": (r"^dehumidifier$", r"humid|damp|moist|dry|fan|vent|heat|air"),
    "humidifier": (r"^humidifier$", r"humid|damp|moist|mist|fog|water|spray|steam|air"),
    "shredder": (r"^shredder$", r"shred|chip|crush|grind"),
}
SAID = {
    ("light", "on"): ["(it's|it is|it has become) (too dark|pitch dark|rather dark|getting dark|so gloomy) (in here|out here|here|to work)", "I can't see (a thing|my hand in front of my face|what I'm doing|where I'm going)",
                      "(we're|I'm) (sitting|standing|working) in the dark", "(the sun|it) (has gone down|is going down), we (can hardly see|are fumbling about)", "somebody will break a leg in this darkness",
                      "(I|we) (keep bumping|bumped) into (things|everything) (here|in this gloom)", "(does anyone have|has anybody got) a candle? (I can't see|It's black as the night here)", "I (dropped|lost) (a screw|my keys|a contact lens) and can't see (the floor|where|anything)",
                      "(dusk|night) is falling and we (have to go on|aren't finished)", "(I'm straining my|we're ruining our) eyes (here|in this gloom)", "(it's|it is) like the inside of a cow in here",
                      "(I could|we could) do with (seeing|being able to see) (something|where we tread)"],
    ("light", "off"): ["(it's|it is) (bright enough|broad daylight) (now|outside), (no need to burn electricity|why are we burning electricity)", "(the sun is up|it's daylight), we can see without electricity",
                       "that glare (hurts my eyes|gives me a headache)", "(I'd|we'd) rather sit in the dark", "(there's|we have) (plenty of|enough) (sunshine|daylight) (by now|coming in)",
                       "(I|we) (can't|cannot) (sleep|rest|doze) in this brightness", "moths are (coming from everywhere|dancing about up there)", "nobody is (here|around) to see anything any more", "(it|that thing) (shines|is shining) right into my eyes"],
    ("fan", "on"): ["(it's|it is) (so stuffy|stuffy|airless|hard to breathe) (in here|in this place|)", "we could do with a bit of (a breeze|fresh air|moving air)", "the air (doesn't move|stands still) in here",
                    "(I|we) (can hardly|can't) breathe (in here|)", "(something|it) (smells|reeks) (in here|terribly|of old socks)", "you could cut the air with a knife", "(not a|there isn't a) breath of (air|wind) (in here|)",
                    "(everybody|everyone) is yawning, there's no (oxygen|fresh air) left"],
    ("fan", "off"): ["there's (an awful|a nasty|a terrible) draught", "(the wind from that thing|that draught) blows my papers about", "(I'm|we're) sitting in a draught", "(my|our) (hats|notes|papers) keep blowing about",
                     "that whirring (drives me mad|gets on my nerves)", "the air is (fresh enough|fine again) (now|)", "(I'm|we're) being blown away here"],
    ("heater", "on"): ["(I'm|we're) (freezing|shivering|cold to the bone)", "my (fingers|toes) are (numb|like ice)", "(it's|it is) (bitterly|terribly|far too) cold (in here|today|this morning)", "you can see your breath in here",
                       "I've (put on|got) (two jumpers|my coat|a scarf) and (I'm|I am) still (cold|shivering)", "(my|our) teeth are chattering", "(brr|brrr), (what a cold place|this is like the North Pole)", "a penguin would (like|love) it (in here|here)",
                       "(I'd|we'd) like it (warm|cosy) (in here|)", "there's (ice|frost) on the inside of the (glass|panes)"],
    ("heater", "off"): ["(we're|I'm) (sweating|roasting), (this is|that's) far too hot", "(it's|it has become) like a furnace in here", "we've had to take our (jumpers|coats) off",
                        "(it's|it is) (warm|cosy) enough (by now|now|), (no need to burn money|let's save some money)", "(I'm|we're) (melting|boiling) (in here|)", "spring has come, (we're|I'm) warm enough without"],
    ("pump", "on"): ["(we're|I'm) standing in water", "(the floor|everything) is under water", "(my|our) boots are filling up", "there's a (lake|puddle) where (I want to stand|it should be dry)"],
    ("pump", "off"): ["(everything|the floor) is dry (by now|again|)", "it (sucks|is sucking) (nothing but air|air)"],
    ("speaker", "on"): ["(it's|it is) so quiet in here, a tune would be nice", "(people|the guests) would like something to listen to", "(I|we) feel like dancing", "(it's|it is) like a graveyard here, (cheer us up|a bit of a beat would help)"],
    ("speaker", "off"): ["(I can't hear myself think|nobody can talk) with that (racket|tune) going", "(I|we) can't (hear|bear) that song (any longer|again)", "(silence|quiet), please, (I'm on the phone|somebody wants to say something)"],
    ("compressor", "on"): ["nothing but a (tired puff|whisper) comes out of the (hose|gun)", "(the|our) (nailer|blow gun|spray gun) has no (strength|puff)", "there's no (force|life) in the hoses"],
    ("compressor", "off"): ["that (rattling|hammering) is for nothing, (nobody uses the hoses|the hoses hang on the wall)", "the hoses are (hung up|put away) and (nobody needs them|that hammering goes on)"],
    ("projector", "on"): ["(I'd|I would) like everyone to see my (slides|holiday photographs|diagrams)", "the wall (is|stays) (white|blank) and (everybody|everyone) is waiting"],
    ("projector", "off"): ["the (talk|show) is over, the wall (can|may) be (white|blank) again", "nobody is watching what's on the wall (any more|)"],
    ("dehumidifier", "on"): ["(water is|drops are) running down the (walls|panes)", "(it's|it is) so (clammy|damp) (in here|) that (everything goes mouldy|the paper curls)", "there's (mould|mildew) (growing|coming) in the corners"],
    ("dehumidifier", "off"): ["the air is dry enough (by now|now|)", "(my|our) lips are cracking, that's dry enough"],
    ("humidifier", "on"): ["my (throat|nose) is (as dry as dust|all dried up)", "the air is (as dry as a desert|dry as dust)", "(everything|my skin) is cracking in this dry air"],
    ("humidifier", "off"): ["(it's|it is) like a jungle in here", "the walls are (sweating|dripping)"],
    ("shredder", "off"): ["(there's|there is) nothing left to (chop|cut) into (bits|pieces)"],
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
            if not others and not re.search("night light|traffic|signal|card|on-air|exit|neon|black|cure|curing|ultra|fog|rain|frost|camera|hive|drinker|core|crust|anemometer|blade|shower|wash|barrel|"
                                              "sauna|pitch|ramp|track|backup|dock display|popcorn|aeration|flue|co2|biofilter|cooling|jet|rack|litter|feed|lint|"
                                              "sawdust|^extractor$|smoke|traffic|oil|lambing|varroa|reef|grow|showcase|heat lamps|hair|altar|candle|colour", name):
                return [expand(rng, rng.choice(SAID[kind, key])) for _ in range(2)]
    return []
