#!/usr/bin/env python3
"""Fetches the Berkeley Function Calling Leaderboard's questions and writes them as cases of the exam.

    bfcl.py FOLDER [--live]     FOLDER/*.whl ──> FOLDER/cases/{machines.jsonl, sets/*.jsonl}

The source is the package `bfcl-eval` of PyPI (Gorilla project, UC Berkeley; Apache-2.0), which carries the data of
https://github.com/ShishirPatil/gorilla. Its version and hash are fixed, so that two scores are of the same
questions; nothing of it is kept in this tree. README.md says what of it our declarations can and cannot say.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import zipfile

VERSION = "2026.3.23"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
# Our sets, and the categories that they are.
SETS = {"simple": "simple_python", "multiple": "multiple"}
LIVE_SETS = {"live_simple": "live_simple", "live_multiple": "live_multiple"}
# The leaderboard's types of values, as ours. It checks `any` as text and a tuple as a list.
KINDS = {
    "string": "string",
    "any": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
    "array": "array",
    "tuple": "array",
    "dict": "object",
}


def fetch(folder):
    """The package's file in `folder`, downloaded by pip where it is not there."""
    wheel = folder / f"bfcl_eval-{VERSION}-py3-none-any.whl"
    if not wheel.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*pip, f"bfcl-eval=={VERSION}"], check=True)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"bfcl: {wheel} is not the file that was published: remove it")
    return wheel


def entries(wheel, category):
    """Each question of a category with its right calls, as the package has them."""
    with zipfile.ZipFile(wheel) as files:

        def lines(name):
            text = files.read(f"bfcl_eval/data/{name}BFCL_v4_{category}.json").decode()
            return [json.loads(line) for line in text.splitlines() if line.strip()]

        right = {entry["id"]: entry["ground_truth"] for entry in lines("possible_answer/")}
        return [(entry, right[entry["id"]]) for entry in lines("")]


def tool_name(name):
    """The leaderboard writes `math.gcd` as `math_gcd` for models that know no dots; so do we."""
    return name.replace(".", "_")


def param(schema, required):
    """A parameter of ours. What is not required may be left out; what it would be then is not said to a model."""
    kind = KINDS[schema["type"]]
    own = {"type": kind}
    words = schema.get("enum")
    if kind == "array":
        items = dict(schema.get("items") or {"type": "string"})
        if words:
            items["enum"] = words
        own["items"] = param(items, True)
    elif kind == "object":
        own["properties"] = params(schema)
    elif kind == "string" and words and all(isinstance(word, str) for word in words):
        own["enum"] = words
    if not required:
        own["optional"] = True
    if schema.get("description"):
        own["description"] = one_line(schema["description"])
    return own


def params(schema):
    needed = schema.get("required", [])
    return {name: param(one, name in needed) for name, one in schema.get("properties", {}).items()}


def one_line(text):
    return " ".join(text.split())


def tools(functions):
    """Declarations, as `[[tool]]` sections have them. What carries them out plays no part."""
    return [
        {
            "name": tool_name(function["name"]),
            "description": one_line(function["description"]),
            "kind": "publish",
            "event": "bfcl",
            "params": params(function["parameters"]),
        }
        for function in functions
    ]


def plain(value, choose):
    """A possible value as a call gives it: of each member of an object one of its values is chosen, or none. The
    leaderboard has such values no deeper than in one object, or in a list of them."""
    if isinstance(value, list):
        return [plain(item, choose) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: choose(values) if isinstance(values, list) else values for name, values in value.items()}
    return {name: one for name, one in members.items() if one is not None}


def first(allowed):
    """The first of the possible values that is given, for people to read."""
    return next((value for value in allowed if value != "" and value is not None), None)


def case(entry, right, machine):
    """A case: one call is right, whose values are each among the possible ones."""
    [(name, possible)] = right[0].items()
    args = {key: plain(first(allowed), first) for key, allowed in possible.items()}
    args = {key: value for key, value in args.items() if value is not None}
    return {
        "id": entry["id"],
        "machine": machine,
        "say": "\n".join(message["content"].strip() for message in entry["question"][0]),
        "expect": [{"tool": tool_name(name), "args": args}],
        "possible": {"tool": tool_name(name), "args": possible},
    }


def convert(wheel, sets):
    """All machines, each set of tools once, and the cases of each set."""
    machines, cases = {}, {}
    for name, category in sets.items():
        cases[name] = []
        for entry, right in entries(wheel, category):
            own = json.dumps(tools(entry["function"]))
            machine = machines.setdefault(own, f"bfcl-{len(machines):04}")
            cases[name].append(case(entry, right, machine))
    return {machine: json.loads(own) for own, machine in machines.items()}, cases


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where the package and the cases are kept")
    parser.add_argument("--live", action="store_true", help="the live categories too: 1311 more questions")
    args = parser.parse_args()
    machines, cases = convert(fetch(args.folder), SETS | (LIVE_SETS if args.live else {}))
    folder = args.folder / "cases"
    # What an earlier run wrote with `--live` would be asked again.
    for old in folder.glob("sets/*.jsonl"):
        old.unlink()
    write(folder / "machines.jsonl", [{"name": name, "tool": own} for name, own in machines.items()])
    for name, rows in cases.items():
        write(folder / "sets" / f"{name}.jsonl", rows)
        print(f"bfcl: {name} has {len(rows)} questions", file=sys.stderr)


if __name__ == "__main__":
    main()
