"""How the leaderboard's questions become cases, of records that were made up in its format."""

import json
import pathlib
import unittest

import bfcl

FOLDER = pathlib.Path(__file__).parent / "bfcl"


def converted():
    """The machines and cases of the made-up records."""
    records = json.loads((FOLDER / "made_up.json").read_text(encoding="utf-8"))
    return [
        (bfcl.tools(record["function"]), bfcl.case(record, record["ground_truth"], f"made_up_{i}"))
        for i, record in enumerate(records)
    ]


class Conversion(unittest.TestCase):
    def test_the_cases_that_the_tests_of_the_exam_read_are_those_of_the_records(self):
        machines, cases = [], []
        for tools, case in converted():
            machines.append({"name": case["machine"], "tool": tools})
            cases.append(case)
        for name, rows in [("machines", machines), ("made_up", cases)]:
            lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
            self.assertEqual([json.loads(line) for line in lines], rows, name)

    def test_names_have_no_dots_and_lines_no_breaks(self):
        [field, perimeter] = converted()[0][0]
        self.assertEqual(field["name"], "geo_area_of_field")
        self.assertEqual(perimeter["description"], "The perimeter of a field.")
        self.assertEqual(field["params"]["rounded"]["description"], "Whether to round. Default is False.")

    def test_what_is_not_required_may_be_left_out(self):
        [trip] = converted()[1][0]
        optional = [name for name, param in trip["params"].items() if param.get("optional")]
        self.assertEqual(optional, ["legs", "title"])
        self.assertTrue(trip["params"]["day"]["properties"]["week"]["optional"])
        self.assertNotIn("optional", trip["params"]["hours"]["items"])

    def test_messages_are_joined_and_the_call_to_read_is_made_of_first_values(self):
        case = converted()[1][1]
        self.assertTrue(case["say"].startswith("You plan trips.\nFrom Oslo"), case["say"])
        args = case["expect"][0]["args"]
        self.assertEqual((args["day"], args["legs"]), ({"name": "Monday", "week": 7}, [{"by": "train"}, {"by": "bus"}]))
        args = converted()[0][1]["expect"][0]["args"]
        self.assertEqual(args, {"width": 12, "length": 7.5, "unit": "square metres", "rounded": False})


if __name__ == "__main__":
    unittest.main()
