"""Tests of what was written down that machines must not act on."""

import pathlib
import random
import tempfile
import unittest
from unittest import mock

import banks
import crafts
import pairs
import refused_lines


def of_kind(name, why, count=400):
    """What a machine that was written down whole is asked for that reason."""
    craft = next(craft for craft in crafts.crafts() if craft.name == name)
    rng, found = random.Random(f"{name}/{why}"), []
    for _ in range(count):
        maker = pairs.Pairs(rng, crafts.build(rng, craft, craft.tools))
        maker.meant = None
        text = getattr(maker, f"no_{why}")()
        if text:
            found.append((text, maker.meant.arch.name if maker.meant else None))
    return found


class Refused(unittest.TestCase):
    def test_what_was_written_down_fits_the_machines(self):
        for path in sorted(refused_lines.FOLDER.glob("*.txt")):
            self.assertEqual(list(refused_lines.faults(path)), [], path.name)

    def test_each_machine_has_such_lines(self):
        self.assertEqual([craft.name for craft in crafts.crafts() if not craft.is_program and not craft.refused], [])

    def test_a_machine_that_stands_in_two_files_is_told(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(refused_lines, "FOLDER", pathlib.Path(folder)):
            (refused_lines.FOLDER / "one.txt").write_text("@hydro_dam\nN | weigh it\n", "utf-8")
            self.assertEqual(list(refused_lines.everything()), ["hydro_dam"])
            (refused_lines.FOLDER / "two.txt").write_text("@hydro_dam\nN | paint it\n", "utf-8")
            with self.assertRaisesRegex(SystemExit, "two.txt: @hydro_dam"):
                refused_lines.everything()

    def test_no_sentence_is_refused_that_a_tool_of_the_machine_is_asked_with(self):
        plain = lambda text: " ".join(text.lower().replace(",", "").split())
        for craft in crafts.crafts():
            if craft.refused:
                asked = {plain(line.text): line.kind for arch in craft.tools for line in arch.lines if line.kind not in "MA"}
                refused = [text for kind in refused_lines.NOTHING for text in craft.refused.plain[kind]] + [text for _, text in craft.refused.either]
                self.assertEqual([text for text in refused if plain(text) in asked], [], craft.name)

    def test_what_could_be_meant_for_one_of_several_things_is_asked_back_and_the_rest_is_not_done(self):
        self.assertEqual({meant for _, meant in of_kind("hydro_dam", "not_now") + of_kind("hydro_dam", "remark") + of_kind("hydro_dam", "unsafe")}, {None})
        craft = next(craft for craft in crafts.crafts() if craft.name == "hydro_dam")
        self.assertLessEqual({name for name, _ in craft.refused.which}, {meant for _, meant in of_kind("hydro_dam", "ambiguous")})

    def test_which_of_two_tools_is_only_asked_where_both_are_there(self):
        craft = next(craft for craft in crafts.crafts() if craft.refused and craft.refused.either)
        both, text = craft.refused.either[0]
        rng = random.Random(1)
        for tools, expected in ((list(both), True), (list(both)[:1], False)):
            toolset = crafts.build(rng, craft, [arch for arch in craft.tools if arch.name in tools])
            said = [pairs.Pairs(rng, toolset).no_which_tool() for _ in range(50)]
            self.assertEqual(any(said), expected, text)

    def test_a_line_that_is_none_is_told_with_its_place(self):
        for raw in ("N no bar", "A | no tool", "V one | one tool only", "X | no such kind", "N tool | a tool", "N |"):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "wrong.txt"
                path.write_text(f"@hydro_dam\n{raw}\n", "utf-8")
                with self.assertRaisesRegex(SystemExit, "wrong.txt:2"):
                    refused_lines.read(path)

    def test_a_machine_that_is_not_there_and_a_tool_that_is_not_there_are_faults(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "wrong.txt"
            path.write_text("@no_such_machine\nN | weigh it\n@hydro_dam\nA no_such_tool | open it\nA siren | let it ring\nN | weigh the {gate}\n", "utf-8")
            faults = "\n".join(refused_lines.faults(banks.Path(path)))
        for words in ("no_such_machine: there is no such machine", "there is no tool no_such_tool", "this tool needs no thing", "a line has no places"):
            self.assertIn(words, faults)


if __name__ == "__main__":
    unittest.main()
