"""Tests of the generator: python3 -m unittest -q (a few seconds)."""

import json
import re
import unittest
from collections import Counter
from functools import lru_cache

import banks
import generate
import ground
import phrases

FORBIDDEN = """bakery baker oven dough proofer croissant baguette bilge anchor keel rudder sail boat marine yacht patient ward nurse
infusion pump drip vending snack elevator lift reefer trailer truck cargo centrifuge beaker pipette hotplate fume hood stirrer filament extrude
print bed nozzle chlorine swimming pool telescope dome eyepiece wort mash hops keg brewery brew fermenter lauter recycling sorting bale
chemistry laboratory lab observatory""".split()
# Words of the list above that are ordinary words here: a "drip line", a clean "bed", a hot "infusion" in a sauna.
ORDINARY = {"pump", "drip", "print", "bed", "fume", "hood", "infusion", "pool", "swimming"}


def plain(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


@lru_cache(maxsize=None)
def drawn(count=500, seed=11):
    return list(generate.records(seed, count, 24, kinds=True, avoid=generate.sentences(generate.AVOID)))


def parse_value(text):
    if re.fullmatch(r"[^\W\d_][\w.\-]*", text) and text not in ("true", "false", "null"):
        return text
    return json.loads(text)


def parse(line):
    name, rest = re.fullmatch(r"([a-z_][\w]*)\((.*)\)", line, re.S).groups()
    args = {}
    while rest:
        key, value, after = re.match(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,"]+)(?:, )?(.*)$', rest, re.S).groups()
        args[key] = parse_value(value)
        rest = after
    return name, args


class Answers(unittest.TestCase):
    def check_value(self, spec, value, say):
        if "enum" in spec:
            self.assertIn(value, spec["enum"])
        elif spec.get("format") == "time":
            self.assertRegex(value, r"^([01]\d|2[0-3]):[0-5]\d$")
        elif spec.get("verbatim"):
            self.assertTrue(value)
            self.assertIn(value, say)
            self.assertLessEqual(len(value), spec["max_length"])
        elif spec["type"] == "boolean":
            self.assertIsInstance(value, bool)
        else:
            self.assertNotIsInstance(value, str)
            if spec["type"] == "integer":
                self.assertEqual(value, int(value))
            self.assertTrue(spec["min"] <= value <= spec["max"], (spec, value, say))

    def test_each_answer_parses_and_obeys_its_tools(self):
        for record in drawn():
            tools = {tool["name"]: tool["params"] for tool in record["tools"]}
            self.assertEqual(len(tools), len(record["tools"]))
            for pair in record["pairs"]:
                turns = [pair, *pair.get("before", [])]
                for turn in turns:
                    for line in turn["answer"].split("\n") if turn["answer"] != "none()" else []:
                        name, args = parse(line)
                        params = tools[name]
                        self.assertEqual([p for p in params if p in args], list(args), line)
                        for key, spec in params.items():
                            if key in args:
                                self.check_value(spec, args[key], turn["say"])
                            else:
                                self.assertIn("default", spec, (line, turn["say"]))

    def test_each_tool_is_asked_for(self):
        asked = total = 0
        for record in drawn():
            answers = "\n".join(pair["answer"] for pair in record["pairs"])
            total += len(record["tools"])
            asked += sum(f"{tool['name']}(" in answers for tool in record["tools"])
        self.assertGreater(asked / total, 0.99)


class Data(unittest.TestCase):
    def test_the_same_seed_gives_the_same_data(self):
        first, again = (list(generate.records(5, 8, 12)) for _ in range(2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, list(generate.records(6, 8, 12)))

    def test_no_word_of_a_domain_that_is_kept_for_the_examination(self):
        words = Counter()
        for record in drawn():
            words.update(re.findall(r"[a-z]+", json.dumps(record).lower()))
        self.assertEqual([word for word in FORBIDDEN if word not in ORDINARY and words[word]], [])

    def test_most_sentences_are_unique(self):
        said = [plain(pair["say"]) for record in drawn() for pair in record["pairs"] if "before" not in pair]
        share = len(set(said)) / len(said)
        print(f"\nunique sentences: {share:.3f} of {len(said)}")
        self.assertGreaterEqual(share, 0.9)

    def test_the_kinds_have_their_shares(self):
        kinds = Counter(pair["kind"] for record in drawn() for pair in record["pairs"])
        total = sum(kinds.values())
        shares = {kind: count / total for kind, count in kinds.items()}
        print("\nshares:", {kind: round(share, 3) for kind, share in sorted(shares.items())})
        for kind, low, high in [("single", 0.5, 0.7), ("two", 0.05, 0.11), ("follow", 0.03, 0.09), ("refuse", 0.1, 0.18), ("noise", 0.08, 0.16)]:
            self.assertTrue(low <= shares[kind] <= high, (kind, shares[kind]))

    def test_toolsets_have_4_to_14_tools_and_the_banks_are_broad(self):
        for record in drawn():
            self.assertTrue(4 <= len(record["tools"]) <= 14)
            self.assertLessEqual(len(record["pairs"]), 24)
        self.assertGreaterEqual(len(banks.archetypes()), 60)
        self.assertGreaterEqual(len(banks.domains()), 60)

    def test_no_sentence_of_the_examination(self):
        exam = generate.sentences(generate.AVOID)
        said = {plain(pair["say"]) for record in drawn() for pair in record["pairs"]}
        same = {text for text in exam & said}
        grams = lambda texts: {tuple(words[i:i + 4]) for text in texts for words in [text.split()] for i in range(len(words) - 3)}
        of_exam, of_data = grams(exam), grams(said)
        print(f"\n4-grams of the examination that occur here: {len(of_exam & of_data)} of {len(of_exam)}; equal sentences: {len(same)}")
        self.assertEqual(len(same), 0, "equal sentences")


class Wording(unittest.TestCase):
    def test_numbers_in_words(self):
        for value, text in [(0, "zero"), (21, "twenty-one"), (110, "one hundred and ten"), (1200, "one thousand two hundred"), (-5, "minus five")]:
            self.assertEqual(ground.words(value), text)

    def test_gerunds_and_templates(self):
        import random
        self.assertEqual(phrases.gerund("run the fan"), "running the fan")
        self.assertEqual(phrases.gerund("close it"), "closing it")
        self.assertIn(phrases.expand(random.Random(1), "(a|b (c|d)|)"), ("a", "b c", "b d", ""))

    def test_each_indirect_sentence_names_an_item_of_its_domain(self):
        for domain in banks.domains():
            names = {name.rstrip("*") for slot in domain.slots.values() for name in slot}
            for _, item in domain.hints:
                self.assertIn(item, names, domain.name)


if __name__ == "__main__":
    unittest.main()
