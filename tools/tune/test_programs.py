#!/usr/bin/env python3
"""Tests of what programs are asked for, and with which arguments."""

import random
import re
import unittest

import crafts
import declare
import pairs
import programs
import toolsets
from style import Style


def param(text, optional=False, lists=None):
    return declare.param_of(declare.read_param(text, lists or {}, optional), Style(random.Random(1), "x"), {})


def drawn(text, count=200, **more):
    one, rng = param(text, **more), random.Random(7)
    return [programs.draw(rng, one) for _ in range(count)]


class Arguments(unittest.TestCase):
    def test_they_are_declared_without_bounds(self):
        self.assertEqual(param("n int:2:14 n nights").spec, {"type": "integer"})
        self.assertEqual(param("n floats:0:1:2:5 n", True).spec, {"type": "array", "items": {"type": "number"}, "optional": True})
        self.assertEqual(param("city str:$cities city", lists={"cities": "New York,Paris"}).tokens["details"], ["New York", "Paris"])
        self.assertEqual(param("unit words:km,miles=km unit").spec["default"], "km")

    def test_numbers_are_within_their_bounds_and_said_as_they_are(self):
        for kind, low, high in [("int", 2, 14), ("int", 60, 400000), ("float", -5, 5), ("float", 0, 0.9)]:
            for value, said in drawn(f"n {kind}:{low}:{high} n"):
                self.assertTrue(low <= value <= high, value)
                if re.match(r"-?\d", said):
                    self.assertEqual(float(said.replace(",", "")), value)

    def test_years_are_neither_rounded_nor_parted(self):
        found = drawn("year int:1950:2030 year")
        self.assertGreater(len({value for value, _ in found}), 40)
        self.assertEqual([said for _, said in found if not re.fullmatch(r"\d{4}", said)], [])

    def test_lists_have_as_many_as_they_may_and_two_have_no_comma_before_and(self):
        found = drawn("n ints:1:99:2:4 n")
        self.assertEqual({len(values) for values, _ in found}, {2, 3, 4})
        self.assertEqual([said for values, said in found if len(values) == 2 and ", and" in said], [])
        self.assertEqual(programs.written([1.0, 2.5, "a b"]), '[1, 2.5, "a b"]')
        self.assertEqual({said[:2] for _, said in drawn("n strs:ale,stout:2:2 n") if said.startswith("[")}, {"[a", "[s", "['", '["'})

    def test_a_set_is_a_list_of_declared_words_and_is_said_in_others(self):
        one = param("with set:gluten free~without gluten,vegan,halal:1:2 with diet", True)
        self.assertEqual(one.spec, {"type": "array", "items": {"enum": one.spec["items"]["enum"]}, "optional": True})
        self.assertEqual(len(one.spec["items"]["enum"]), 3)
        for values, said in drawn("with set:gluten free~without gluten,vegan,halal:1:2 with"):
            self.assertTrue(1 <= len(set(values)) == len(values) <= 2, values)
            self.assertEqual("gluten" in said, any("gluten" in value for value in values))

    def test_millions_are_told_in_words_where_they_are_round(self):
        rng = random.Random(3)
        told = {programs.amount_text(rng, 2.5e6) for _ in range(60)}
        self.assertEqual(told, {"2.5 million", "2,500,000", "2500000"})
        self.assertEqual({programs.amount_text(rng, 2345678.0) for _ in range(60)}, {"2,345,678", "2345678"})
        self.assertEqual(programs.amount_text(rng, 2.5e6, plainly=True), "2500000")


class Programs(unittest.TestCase):
    def test_each_can_be_asked_and_is_typed_as_it_stands_in_the_call(self):
        for craft in crafts.crafts():
            if not craft.is_program:
                continue
            rng = random.Random(craft.name)
            toolset = crafts.build(rng, craft, craft.tools[:4], craft.tools[4:])
            made = pairs.pairs_of(rng, toolset, 24)
            declared = {item.token for tool in toolset.tools for one in tool.params for item in [*one.items, *one.tokens.get("words", [])]}
            self.assertGreater(len(made), 12, craft.name)
            for pair in made:
                said = " ".join(turn["say"] for turn in [pair, *pair.get("before", [])])
                for text in re.findall(r'"([^"]*)"', pair["answer"]):
                    # A sentence that begins with a value may begin with a capital; a word of an enumeration is said in any way.
                    self.assertTrue(text in declared or text.lower() in said.lower(), (text, said))

    def test_some_are_offered_with_one_function_alone_and_the_prompt_shows_lists(self):
        sizes = {programs.offered(random.Random(seed)) for seed in range(100)}
        self.assertEqual(sizes, set(programs.OFFERED))
        self.assertEqual(toolsets.kind_of({"type": "array", "items": {"type": "integer"}}), "[int]")

    def test_descriptions_of_parameters_and_which_may_be_left_out_are_in_the_prompt(self):
        tools = [{"name": "f", "description": "d", "params": {
            "city": {"type": "string", "description": "Where to look. "}, "n": {"type": "integer", "default": 1}, "m": {"type": "number", "optional": True, "description": " "}}}]
        self.assertEqual(toolsets.prompt(tools).splitlines()[-1], "- f(city: text (Where to look), n?: int, m?: number): d")

    def test_a_program_describes_most_of_its_parameters_or_none(self):
        of = lambda seed: ["description" in one.spec
                           for tool in crafts.draw(random.Random(seed), is_program=True).tools for one in tool.params]
        shares = [sum(found) / len(found) for found in map(of, range(80)) if len(found) > 5]
        self.assertTrue(any(share == 0 for share in shares))
        self.assertTrue(all(share == 0 or share >= 0.5 for share in shares), shares)
        self.assertGreater(sum(share > 0 for share in shares) / len(shares), 0.6)


if __name__ == "__main__":
    unittest.main()
