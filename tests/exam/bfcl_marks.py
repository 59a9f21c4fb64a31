#!/usr/bin/env python3
"""Has the leaderboard's own checker mark made-up answers, for bfcl.rs to be compared with.

    bfcl_marks.py FOLDER OUT [--seed N]
    AGENTD_BFCL_MARKS=OUT cargo nextest run --release -p agentd-tests --bin exam marks

Each question of all categories gets answers that are right or nearly so, drawn by seed. The checker is imported
from the package itself; its table of models, which would import the clients of all vendors, is replaced. First it has
to agree with the marks that `bfcl/answers.jsonl` gives, by which every `make test` holds bfcl.rs.
"""

import argparse
import json
import pathlib
import random
import sys
import types

import bfcl

ANSWERS = 12
MODEL = "agentd"


def checker(wheel):
    """The package's checker, as a function of an entry, its right calls, an answer and a category."""
    sys.path.insert(0, str(wheel))
    models = types.ModuleType("bfcl_eval.constants.model_config")
    models.MODEL_CONFIG_MAPPING = {MODEL: types.SimpleNamespace(underscore_to_dot=True)}
    sys.modules[models.__name__] = models
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    def check(entry, right, answer, category):
        return ast_checker(entry["function"], answer, right, Language.PYTHON, category, MODEL)["valid"]

    return check


def pick(draw, allowed):
    """One of the possible values, or None where it is left out."""
    value = draw.choice(allowed) if allowed else ""
    return None if value == "" else value


def spoil(draw, value):
    """The value, or another one that a rule may or may not take for the same."""
    if isinstance(value, bool):
        return draw.choice([not value, int(value), str(value), value])
    if isinstance(value, (int, float)):
        return draw.choice([value + 1, float(value), str(value), [value], int(value), value == 1])
    if isinstance(value, str):
        same = [value.upper(), value.replace(" ", ""), value.replace(",", ""), f" {value}.", f"{value}_^*/-"]
        return draw.choice([*same, value.replace("'", '"'), value + "s", "'" + value, "", [value], 1])
    if isinstance(value, list):
        if value and draw.random() < 0.4:
            at = draw.randrange(len(value))
            return value[:at] + [spoil(draw, value[at])] + value[at + 1 :]
        return draw.choice([value[::-1], value[:-1], value * 2, [], value + [""], str(value), {"a": value}])
    if isinstance(value, dict) and value:
        name = draw.choice(list(value))
        rest = {key: own for key, own in value.items() if key != name}
        return draw.choice([rest, value | {name: spoil(draw, value[name])}, value | {"other": 1}, [value], {}])
    return draw.choice([None, "", 0])


def answer(draw, entry, right):
    """Calls, mostly one, by tool and arguments."""
    [(name, possible)] = right[0].items()
    args = {
        key: bfcl.plain(pick(draw, allowed), lambda values: pick(draw, values)) for key, allowed in possible.items()
    }
    args = {key: value for key, value in args.items() if value is not None}
    kind = draw.random()
    if args and kind < 0.5:
        key = draw.choice(list(args))
        args[key] = spoil(draw, args[key])
    elif args and kind < 0.6:
        del args[draw.choice(list(args))]
    elif kind < 0.66:
        known = list(draw.choice(entry["function"])["parameters"]["properties"]) + ["other"]
        args[draw.choice(known)] = draw.choice(["", 1, "a", True])
    elif kind < 0.7:
        name = draw.choice(entry["function"])["name"] + draw.choice(["", "x"])
    calls = [(bfcl.tool_name(name), args)]
    return calls * draw.choice([1] * 18 + [0, 2])


def decode(value, schema):
    """As bfcl.rs decodes our syntax: a whole number in a list of floats is a float."""
    if schema and schema["type"] == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema and schema["type"] in ("array", "tuple") and isinstance(value, list):
        return [decode(item, schema.get("items")) for item in value]
    return value


def decoded(calls, functions):
    """Calls as the checker takes them."""
    schemas = {bfcl.tool_name(own["name"]): own["parameters"]["properties"] for own in functions}

    def args(name, given):
        return {key: decode(value, schemas.get(name, {}).get(key)) for key, value in given.items()}

    return [{name: args(name, given)} for name, given in calls]


def check_made_up(check):
    """Whether the marks that are kept in the tree are the checker's."""
    folder = pathlib.Path(__file__).parent / "bfcl"
    records = {record["id"]: record for record in json.loads((folder / "made_up.json").read_text())}
    for line in (folder / "answers.jsonl").read_text().splitlines():
        row = json.loads(line)
        record = records[row["id"]]
        calls = decoded([(call["tool"], call["args"]) for call in row["answer"]], record["function"])
        if check(record, record["ground_truth"], calls, "multiple") != row["right"]:
            sys.exit(f"bfcl: the checker does not mark so: {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where the package is kept")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw, wheel, rows, crashed = random.Random(args.seed), bfcl.fetch(args.folder), [], 0
    check = checker(wheel)
    check_made_up(check)
    for category in (bfcl.SETS | bfcl.LIVE_SETS).values():
        for entry, right in bfcl.entries(wheel, category):
            possible = bfcl.case(entry, right, "")["possible"]
            tools = [tool for tool in bfcl.tools(entry["function"]) if tool["name"] == possible["tool"]]
            for _ in range(ANSWERS):
                calls = answer(draw, entry, right)
                try:
                    is_right = check(entry, right, decoded(calls, entry["function"]), category)
                except (TypeError, AttributeError, KeyError):
                    # The checker does not stand every answer; then there is nothing to compare.
                    crashed += 1
                    continue
                given = [{"tool": name, "args": args} for name, args in calls]
                row = {"id": entry["id"], "tools": tools, "possible": possible}
                rows.append(row | {"answer": given, "right": is_right})
    bfcl.write(args.out, rows)
    right = sum(row["right"] for row in rows)
    print(f"bfcl: {len(rows)} marks, {right} of them right; the checker failed on {crashed} answers", file=sys.stderr)


if __name__ == "__main__":
    main()
