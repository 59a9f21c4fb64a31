"""Words that are noted, sent or shown as they were said."""

from phrases import expand

NOTES = [
    "(the delivery|the inspector|Mr Brown|Mrs Novak|the new apprentice|the customer|the electrician|my replacement) (comes|is coming|will be here) (at noon|tomorrow morning|on Friday|next week|after lunch|in the afternoon)",
    "(the key|the ladder|the spare fuse|my jacket|the clipboard|the torch) (is|was left) (in the drawer|behind the door|by the window|at the entrance|under the table|with the neighbours)",
    "(somebody|a visitor|the night shift|one of the boys|the cleaner) (left the door open|spilled something|broke a window|forgot to sign|took the keys home)",
    "(the floor|the handle|the cable|the hinge|the label|the cover) (near|by|next to) the (entrance|window|stairs|table|wall) is (wet|loose|worn|missing|damaged|dirty)",
    "(all|everything) (checked|fine|quiet|done) (at the end of the shift|on my round|this morning|tonight)",
    "(we are|I am) (short of|out of|running low on) (gloves|paper towels|cable ties|fuses|cleaning cloths|batteries)",
    "(I will be|I'm going to be|the team will be) (late|back) (today|by half past ten|after the meeting|on Monday)",
    "(Anna|Pavel|Joan|Imran|Greta|Luis) (has|found|changed|ordered|checked|cleaned) the (filters|seals|spare parts|hoses|first aid box)",
    "(strange|loud|odd|scraping) (noise|smell|sound) (from the back|near the wall|when it starts|since yesterday|under the cover)",
    "(the meeting|the inspection|the training|the visit) (is|has been) (moved to|cancelled on|planned for) (Tuesday|Wednesday|the afternoon|next month)",
]
# Those that can stand after "that".
CLAUSES = [note for note in NOTES if not note.startswith(("(all|", "(strange|"))]
FAULTS = [
    "the {dev} (is broken|makes a terrible noise|has stopped|smells burnt|won't start|is leaking|shakes badly)",
    "there is (smoke|water|oil|a strange smell) (coming out of|around|near) the {dev}",
    "(the {dev}|something in the {dev}) is (rattling|stuck|grinding|hot to the touch)",
    "the (display|main switch|door handle|light in the passage) is (broken|dead|loose)",
]
NAMES = ["(north|spring|blue|trial|Monday|rush|export|sample) (order|batch|lot|series) (seven|twelve|forty|A|K|two)",
         "(Miller|Santos|Kowalski|Okafor|Jensen) (spare parts|reorder|Christmas|autumn|first try)"]
TODO = ["(call|phone|write to) (the supplier|my sister|the office|the insurance|Mr Brown)", "(check|change|clean) the (filters|seals|windows|gutters)",
        "(water|feed|collect|count) the (plants|cat|post|spare parts)", "(bring|fetch|return) the (keys|ladder|papers|borrowed drill)",
        "(lock up|sign the forms|take out the rubbish|buy fuses|stretch my legs)"]


def draw(rng, kind, domain, clause=False):
    """A text of a kind: log, msg, fault, name or todo."""
    if kind == "name":
        return expand(rng, rng.choice(NAMES))
    if kind == "todo":
        return expand(rng, rng.choice(TODO))
    if kind == "fault":
        dev = rng.choice(domain.slots.get("dev", ["main switch"]))
        while dev.endswith("*"):
            dev = rng.choice(domain.slots["dev"])
        return expand(rng, rng.choice(FAULTS)).replace("{dev}", dev)
    if clause:
        return expand(rng, rng.choice(CLAUSES))
    if domain.texts and rng.random() < 0.5:
        return rng.choice(domain.texts)
    return expand(rng, rng.choice(NOTES))
