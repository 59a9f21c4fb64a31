"""Words as recognisers mistake them: mostly for other words of nearly the same sound."""

# What recognisers write for common words: mostly another word of nearly the same sound.
VERBS = {
    "turn off": ["turn of", "turn of", "tern off"], "switch off": ["switch of", "which off", "switch of"], "turn on": ["turn an", "tern on"],
    "switch on": ["which on", "switch an"], "close the": ["clothes the", "cloths the", "close there", "clause the"], "shut the": ["shot the", "shut a"],
    "write down": ["right down", "ride down"], "take down": ["take town"], "read": ["red", "reed"], "raise": ["rays", "raze"], "pause": ["paws", "pours"],
    "seal": ["seel", "ceil"], "check": ["cheque", "czech", "chick"], "set the": ["sat the", "set a", "said the", "set there"], "weigh": ["way"],
    "put the": ["but the", "put a", "foot the"], "let": ["led", "lat"], "show me": ["show mi", "sure me"], "tell me": ["tell mi", "till me"],
    "run": ["ron", "wrun"], "add": ["ad"], "dose": ["doze", "does"], "dispense": ["this pence", "dispenses"], "begin": ["big in", "beg in"],
    "give me": ["gimme", "give mi"], "let me know": ["lemme know"], "i want to": ["i wanna"], "going to": ["gonna"], "got to": ["gotta"],
    "what's": ["whats", "what", "watts"], "what is": ["what's", "watt is"], "which": ["witch"], "where": ["wear", "were"], "it's": ["its", "is"], "i'm": ["im", "i am"],
    "we're": ["we are", "wear"], "there's": ["theirs", "there is"], "can you": ["can u", "canyou", "can ya"], "could you": ["good you", "could u"],
    "would you": ["wood you", "would u"], "please": ["pleas", "police", "please please", "peas"], "need": ["knead", "kneed"], "right now": ["write now", "rite now"],
    "through": ["threw", "true"], "their": ["there"], "your": ["you're", "yore"], "the": ["da", "de"], "to be": ["too be", "to bee"], "we": ["wee"],
    "report": ["re port"], "restart": ["re start"], "reboot": ["re boot", "robot"], "unlock": ["un lock"], "calibrate": ["celebrate"], "mute": ["moot"],
    "cancel": ["council"], "record": ["wreck ord"], "measure": ["major"], "how much": ["how match"], "how is": ["how's"], "time for": ["thyme for"],
    "whole": ["hole"], "some": ["sum"], "wait": ["weight"], "too": ["to"], "here": ["hear"], "great": ["grate"], "would": ["wood"], "should": ["shoot", "shud"],
    "want": ["wan"], "bring": ["brink"], "select": ["sell ect"], "select the": ["elect the"], "make it": ["make at", "makeit"],
}
# How names of things come out. Used where nothing else of the machine is called nearly so.
NAMES = {"light": "lite", "lights": "lites", "lamp": "lamb", "lamps": "lambs", "pump": "bump", "gate": "gait", "door": "dore", "heater": "eater", "heating": "eating",
         "valve": "valf", "belt": "built", "hall": "haul", "main": "mane", "flow": "flo", "boiler": "boyler", "chute": "shoot", "screen": "scream", "rail": "rale",
         "cellar": "seller", "curtain": "certain", "blind": "blined", "mist": "missed", "rain": "reign", "hose": "hoes", "tank": "thank", "saw": "sore",
         "hoist": "moist", "mixer": "mixture", "blower": "blow a", "dryer": "drier", "feeder": "feed a", "chiller": "chill a", "sprayer": "spray a", "fan": "van",
         "camera": "camra", "extractor": "extract her", "brake": "break", "booth": "boost", "flap": "flab", "hatch": "hedge", "fence": "fans", "barrier": "barry a",
         "humidity": "humidify", "pressure": "pressured", "temperature": "temperatures", "moisture": "moist her", "compressor": "compress her", "steam": "steem",
         "weight": "wait", "brightness": "bright nest", "volume": "volumes", "speed": "speet", "level": "levels", "water": "waiter", "flour": "flower", "press": "breast",
         "tray": "trey", "guard": "card", "siren": "sirens", "crane": "crain", "roller": "rollers", "drum": "drums", "vent": "went", "rack": "wreck", "bay": "bey",
         "wheel": "we'll", "grain": "green", "seed": "seat", "milk": "mill", "stall": "stool", "trough": "troff", "auger": "auga", "lathe": "laid", "drill": "trill",
         "music": "musics", "projector": "project her", "dehumidifier": "the humidifier", "purifier": "pure a fire", "washer": "wash her", "kettle": "cattle"}
JOINED = ["turn on", "turn off", "switch on", "switch off", "shut down", "start up", "power up", "power down", "can you", "could you", "how much", "how many",
          "go ahead", "what is", "want to", "set the", "open the", "close the", "in the", "of the", "on the", "at the", "let me", "right now"]
