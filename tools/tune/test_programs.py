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


class Programs(unittest.TestCase):
    def test_each_can_be_asked_and_is_typed_as_it_stands_in_the_call(self):
        for craft in crafts.crafts():
            if not craft.is_program:
                continue
            rng = random.Random(craft.name)
            toolset = crafts.build(rng, craft, craft.tools[:4], craft.tools[4:])
            made = pairs.pairs_of(rng, toolset, 24)
            self.assertGreater(len(made), 12, craft.name)
            for pair in made:
                said = " ".join(turn["say"] for turn in [pair, *pair.get("before", [])])
                for text in re.findall(r'"([^"]*)"', pair["answer"]):
                    # A sentence that begins with a value may begin with a capital.
                    self.assertIn(text.lower(), said.lower())

    def test_some_are_offered_with_one_function_alone_and_the_prompt_shows_lists(self):
        sizes = {programs.offered(random.Random(seed)) for seed in range(100)}
        self.assertEqual(sizes, set(programs.OFFERED))
        self.assertEqual(toolsets.kind_of({"type": "array", "items": {"type": "integer"}}), "[int]")


if __name__ == "__main__":
    unittest.main()
