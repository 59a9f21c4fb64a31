"""Tests of what was written down as a recogniser hears it."""

import pathlib
import random
import tempfile
import unittest
from unittest import mock

import banks
import crafts
import pairs
import spoken_lines


def machine(name):
    return next(craft for craft in crafts.crafts() if craft.name == name)


def file_of(folder, text, name="wrong.txt"):
    path = banks.Path(folder) / name
    path.write_text(text, "utf-8")
    return path


class Spoken(unittest.TestCase):
    def test_what_was_written_down_fits_the_machines(self):
        for path in sorted(spoken_lines.FOLDER.glob("*.txt")):
            self.assertEqual(list(spoken_lines.faults(path)), [], path.name)

    def test_each_machine_has_such_lines(self):
        self.assertEqual([craft.name for craft in crafts.crafts() if not craft.is_program and not craft.overheard], [])

    def test_nothing_that_nobody_says_to_a_machine_is_said_to_it(self):
        for craft in crafts.crafts():
            asked = {line.text for arch in craft.tools for line in arch.lines if line.kind == spoken_lines.KIND}
            self.assertEqual(asked & set(craft.overheard), set(), craft.name)

    def test_a_line_is_said_once_as_it_was_written_with_its_values_as_they_are_heard(self):
        rng, craft = random.Random(1), machine("hydro_dam")
        toolset = crafts.build(rng, craft, craft.tools)
        lines = [line for tool in toolset.tools for line in tool.arch.lines if line.kind == spoken_lines.KIND]
        maker = pairs.Pairs(rng, toolset)
        made = [maker.spoken() for _ in lines]
        self.assertEqual({pair["kind"] for pair in made}, {"spoken"})
        plain = {line.text for line in lines if "{" not in line.text}
        self.assertLessEqual(plain, {pair["say"] for pair in made})
        self.assertFalse([pair for pair in made if "{" in pair["say"] or pair["answer"] == "none()"])
        self.assertEqual(maker.spoken()["kind"], "noise", "all were said")

    def test_what_is_overheard_is_refused(self):
        rng, craft = random.Random(1), machine("hydro_dam")
        maker = pairs.Pairs(rng, crafts.build(rng, craft, craft.tools))
        self.assertIn(maker.no_overheard(), craft.overheard)

    def test_a_line_that_is_none_is_told_with_its_place(self):
        for raw in ("gate no bar", "| no tool", "gate |", "gate | Open it", "gate | open it.", "gate | open it, please", "none x=1 | hm what", "none | take {this}"):
            with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(SystemExit, "wrong.txt:2"):
                spoken_lines.read(file_of(folder, f"@hydro_dam\n{raw}\n"))

    def test_what_does_not_fit_its_machine_is_a_fault(self):
        with tempfile.TemporaryDirectory() as folder:
            text = "@no_such_machine\nnone | hello you\n@hydro_dam\nno_such_tool | open it\nsiren | do it now\nsiren mood=loud | do it too\nnone | hello you\n"
            faults = "\n".join(spoken_lines.faults(file_of(folder, text)))
        for words in ("no_such_machine: there is no such machine", "there is no tool no_such_tool", "a required parameter is missing", "KeyError('mood')", "fewer than 2 lines none"):
            self.assertIn(words, faults)

    def test_a_machine_that_stands_in_two_files_is_told(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(spoken_lines, "FOLDER", pathlib.Path(folder)):
            for name in ("one.txt", "two.txt"):
                file_of(folder, "@hydro_dam\nnone | hello you\n", name)
            with self.assertRaisesRegex(SystemExit, "two.txt: @hydro_dam"):
                spoken_lines.everything()


if __name__ == "__main__":
    unittest.main()
