"""How questions are worded: several ways to say each, and several words for each thing."""

from __future__ import annotations

WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "ship": (("ship", "ships"), ("ship", "ships"), ("boat", "boats"), ("vessel", "vessels")),
    "airplane": (("airplane", "airplanes"), ("airplane", "airplanes"), ("plane", "planes"),
                 ("aircraft", "aircraft")),
    "storage tank": (("storage tank", "storage tanks"), ("tank", "tanks"),
                     ("oil tank", "oil tanks")),
    "bridge": (("bridge", "bridges"),),
    "tennis court": (("tennis court", "tennis courts"), ("court", "courts"),
                     ("sports court", "sports courts")),
    "car": (("car", "cars"), ("car", "cars"), ("vehicle", "vehicles")),
    "swimming pool": (("swimming pool", "swimming pools"), ("pool", "pools")),
    "house": (("house", "houses"), ("house", "houses"), ("home", "homes")),
    "stadium": (("stadium", "stadiums"), ("stadium", "stadiums"), ("arena", "arenas")),
}  # fmt: skip
"""Singular and plural of every word for a kind; repeated words are said more often."""

SITES: dict[str, tuple[str, ...]] = {
    "ship": ("harbor", "harbour", "port", "dock"),
    "airplane": ("airport", "airfield", "apron"),
    "storage tank": ("depot", "tank farm", "storage site"),
    "bridge": ("river",),
    "tennis court": ("sports park", "sports ground"),
    "car": ("car park", "parking lot", "parking area"),
    "swimming pool": ("resort", "hotel"),
    "house": ("estate", "housing estate", "residential area"),
    "stadium": ("sports complex", "stadium grounds"),
}

EXTREMES: dict[str, tuple[str, ...]] = {
    "largest": ("largest", "biggest"),
    "smallest": ("smallest",),
    "left-most": ("left-most", "leftmost"),
    "right-most": ("right-most", "rightmost"),
    "top-most": ("top-most", "topmost", "uppermost"),
    "bottom-most": ("bottom-most", "bottommost", "lowest"),
}
"""Words for the ends of an order."""

WHOLE = ("in the image", "in this image", "in the picture", "in the scene", "", "")
AT = ("in the {place}", "in the {place} of the image", "in the {place} part of the image",
      "at the {place}", "in the {place} area")  # fmt: skip

COUNT = (
    "how many {many} are there {at}?",
    "how many {many} are there {at}?",
    "how many {many} can you see {at}?",
    "what is the number of {many} {at}?",
    "count the {many} {at}.",
    "how many {many} are visible {at}?",
    "number of {many} {at}?",
    "how many {many} does it show {at}?",
)
COLOUR_ONE = ("what color is the {one} {at}?", "what colour is the {one} {at}?",
              "what is the color of the {one} {at}?", "which color does the {one} {at} have?",
              "color of the {one} {at}?")  # fmt: skip
COLOUR_MANY = ("what color are the {many} {at}?", "what colour are the {many} {at}?",
               "what is the color of the {many} {at}?", "which color do the {many} {at} have?",
               "color of the {many} {at}?")  # fmt: skip
CATEGORY = (
    "what kind of object is {at}?",
    "what is the category of the objects {at}?",
    "what objects can be seen {at}?",
    "what type of object is located {at}?",
    "what is {at}?",
    "which class do the objects {at} belong to?",
)
SHAPE = ("what is the shape of the {name} {at}?", "what shape {do} the {name} {at} have?",
         "which shape {be} the {name} {at}?", "how {be} the {name} {at} shaped?")  # fmt: skip
STATUS_SHIP = ("what is the status of the {name} {at}?", "{be} the {name} {at} moving or anchored?",
               "{be} the {name} {at} anchored or moving?",
               "what is the state of the {name} {at}?")  # fmt: skip
STATUS_TANK = ("what is the status of the {name} {at}?", "{be} the {name} {at} open or closed?",
               "{be} the {name} {at} closed or open?",
               "what is the state of the {name} {at}?")  # fmt: skip
REASONING = (
    "what is the area {at} used for?",
    "what is the site {at} most likely used for?",
    "what is the purpose of the facility {at}?",
    "what activity is the place {at} for?",
)
RURAL = (
    "is this a rural or an urban area?",
    "is this area rural or urban?",
    "is the scene urban or rural?",
    "is it rural or urban?",
    "does the image show a rural or urban area?",
)
BACKGROUND = (
    "what is the ground under the {many} {at}?",
    "what surface are the {many} {at} on?",
    "what is the background of the {many} {at}?",
    "which material surrounds the {many} {at}?",
    "what kind of ground surrounds the {many} {at}?",
)
EXISTS = (
    "is there a {one} {at}?",
    "is there any {one} {at}?",
    "are there any {many} {at}?",
    "are there {many} {at}?",
    "does the image show a {one} {at}?",
    "can you see a {one} {at}?",
    "is a {one} present {at}?",
)
EMPTY = ("is the {site} empty?", "is the {site} {at} empty?", "is the {site} unoccupied?")
POSITION_ONE = ("where is the {one}?", "in which part of the image is the {one}?",
                "where is the {one} located?", "what is the position of the {one}?",
                "where in the image is the {one}?")  # fmt: skip
POSITION_MANY = ("where are the {many}?", "in which part of the image are the {many}?",
                 "where are the {many} located?", "what is the position of the {many}?",
                 "where in the image are the {many}?")  # fmt: skip

MORE = (
    "are there more {many} than {others} {at}?",
    "does the image show more {many} than {others}?",
    "are {many} more numerous than {others} {at}?",
    "is the number of {many} larger than the number of {others}?",
)
WHICH_MORE = (
    "which are there more of, {many} or {others}?",
    "are there more {many} or more {others} {at}?",
    "what is more numerous {at}, {many} or {others}?",
)
BESIDE = {
    "left": ("{be} the {name} to the left of the {other}?", "{be} the {name} left of the {other}?",
             "{be} the {name} further left than the {other}?"),
    "right": ("{be} the {name} to the right of the {other}?",
              "{be} the {name} right of the {other}?",
              "{be} the {name} further right than the {other}?"),
    "above": ("{be} the {name} above the {other}?", "{be} the {name} higher up than the {other}?"),
    "below": ("{be} the {name} below the {other}?", "{be} the {name} lower than the {other}?"),
}  # fmt: skip
STRANGE = (
    "what color is the {one} {at}?", "where is the {one}?", "what is the shape of the {one} {at}?",
    "what is the {one} {at} used for?", "what is the status of the {one} {at}?",
    "where are the {many}?", "what colour are the {many} {at}?", "are the {many} open?",
    "is the {one} left of the {known}?",
)  # fmt: skip
"""What supposes something that the drawn world does not have: nobody can answer."""
STRANGE_IN_TRAINING = (
    *STRANGE, "is there a {one} {at}?", "are there any {many} {at}?",
    "how many {many} are there {at}?", "number of {many} {at}?", "count the {many} {at}.",
    "can you see a {one} {at}?", "are there more {many} than {known} {at}?",
)  # fmt: skip
"""More of that kind, to which "no" or "0" would be right, too: taught, but not in the benchmark."""

STRANGE_NOUNS = (
    "giraffe", "elephant", "horse", "cow", "sheep", "dog", "cat", "bird", "whale", "dolphin",
    "fish", "lion", "tiger", "camel", "goat", "duck", "person", "man", "woman", "child", "crowd",
    "soldier", "policeman", "tank truck", "helicopter", "submarine", "rocket", "satellite", "train",
    "tram", "bicycle", "motorcycle", "tractor", "excavator", "bulldozer", "balloon", "drone",
    "windmill", "wind turbine", "solar panel", "power plant", "chimney", "lighthouse", "castle",
    "church", "mosque", "temple", "pyramid", "statue", "fountain", "cemetery", "school",
    "hospital", "prison", "factory", "supermarket", "cinema", "museum", "library", "bank",
    "restaurant", "tent", "campfire", "volcano", "waterfall", "glacier", "iceberg", "desert",
    "dune", "canyon", "cave", "swamp", "coral reef", "banana", "apple",
    "orange tree",
    "cactus", "palm tree", "flower", "rose", "mushroom", "guitar", "piano", "chair", "table",
    "laptop", "phone", "camera", "book", "bottle", "umbrella", "clock", "flag", "crater", "mine",
    "quarry", "landfill", "silo", "barn", "windsock", "antenna", "radar dish",
    "roundabout", "tunnel", "zebra crossing", "traffic light", "bus", "truck", "van", "trailer",
    "forklift", "crane", "ladder", "fence", "wall", "gate", "dam",
    "basketball hoop", "golf course", "ice rink", "skate park", "roller coaster", "ferris wheel",
    "dragon", "unicorn", "ufo", "dinosaur", "robot", "snowman", "moon", "sun", "star", "rainbow",
)  # fmt: skip
"""Nouns of other worlds that training asks about."""

STRANGE_NOUNS_HELD_OUT = (
    "zebra", "kangaroo", "penguin", "shark", "bear", "monkey", "farmer", "king", "spaceship",
    "locomotive", "scooter", "snowplow", "zeppelin", "oil rig", "observatory", "monastery",
    "obelisk", "theatre", "hotel lobby", "bakery", "geyser", "fjord", "oasis", "vineyard",
    "strawberry", "bamboo", "violin", "sofa", "television", "keyboard", "suitcase", "compass",
    "pipeline", "telescope", "igloo", "carousel", "mermaid", "comet", "wizard", "pumpkin",
)  # fmt: skip
"""Others that it never does."""

PLURALS = {
    "sheep": "sheep", "fish": "fish", "man": "men", "woman": "women", "child": "children",
    "policeman": "policemen", "snowman": "snowmen", "church": "churches", "cactus": "cacti",
}  # fmt: skip
"""Plurals of strange nouns that no rule gives."""

SYLLABLES = (("bl", "dr", "k", "m", "n", "pr", "st", "v", "z", "gl", "f", "qu"),
             ("ax", "on", "im", "ol", "erk", "und", "ib", "et", "osh", "aff"))  # fmt: skip
SYLLABLES_HELD_OUT = (("sk", "br", "t", "w", "cl", "j", "h", "sw"),
                      ("ump", "ev", "ilt", "ag", "orp", "en", "usk"))  # fmt: skip
"""Beginnings and ends of words that nobody knows."""

STRANGE_WHOLE = (
    "who took this picture?", "what is the weather like?", "when was the image taken?",
    "what time is it?", "which country is this?", "what is the temperature?", "who are you?",
    "how old is this image?", "what is your name?", "tell me a story.",
    "what is the capital of france?",
    "how much does it cost?", "who lives here?", "why is the sky blue?", "what is the population?",
    "which satellite took this?", "what do you think?", "can you help me?", "hello",
    "what language is this?", "who won the match?", "how tall is the tower?",
)  # fmt: skip
STRANGE_WHOLE_HELD_OUT = (
    "what is the name of this city?", "who built this?", "what day is it?", "how fast is the wind?",
    "what is the meaning of life?", "which year was it built?", "how do i get there?",
    "what is two plus two?",
)  # fmt: skip

SUFFIX = "Answer the question using a single word or phrase."

EXTRA = """
please tell me about these those show shows seen see find look left right upper lower middle
centre center north south east west side corner near next behind above below between around inside
outside this that it they them there here who when why whose do does did have has had will would
could should may might must not no yes and or but if then than as by for from into of off on onto
out over under up with without within across along big small large larger largest smaller smallest
tiny huge little long short wide narrow tall high low old new many much more most few fewer less
least some any each every all both none one two three four five six seven eight nine ten dozen
several single double truck bus van lorry train railway track station road street highway motorway
crossing roundabout traffic lane path runway taxiway terminal helicopter jet hangar ship yacht
ferry cargo container crane pier quay jetty lake pond canal coast beach shore sea ocean water wave
wake island mountain hill valley forest tree trees bush grass field farm farmland crop soil sand
rock desert snow roof roofs tower chimney factory plant industrial solar panel wind turbine
stadium soccer football baseball basketball pitch playground school hospital church city town
village country countryside suburb construction bare land meadow orchard greenhouse dam square
circle circular rectangle triangle oval round light dark bright pale purple pink cyan silver
golden beige white black red green blue yellow orange brown gray grey striped moving parked docked
anchored stopped sailing flying open closed full empty busy damaged intact image photo picture
satellite aerial remote sensing describe caption main object objects thing things type category
class color colour number count position location
"""
"""Words people may use, for the tokenizer's vocabulary; no template needs them."""
