"""Files of lines about machines of `crafts`: `@machine` opens one, and its lines follow; `#` begins a comment."""

import argparse
import sys
from collections import defaultdict

import banks


def read(path, empty, read_line):
    """Machine -> what `read_line` put into an `empty()` one, line by line. A fault is told with its line."""
    found, of = defaultdict(empty), None
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        raw = raw.strip()
        if not raw or raw.startswith("#"):
            continue
        try:
            if raw.startswith("@"):
                of = found[raw[1:].strip()]
            else:
                read_line(of, raw)
        except (ValueError, AttributeError, IndexError) as error:
            raise SystemExit(f"{path.name}:{number}: {raw}: {error}") from error
    return found


def everything(folder, read_one):
    """Machine -> its lines, of all files. No machine stands in two of them."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        lines = read_one(path)
        twice = sorted(found.keys() & lines.keys())
        if twice:
            raise SystemExit(f"{path.name}: @{twice[0]} stands in another file too")
        found |= lines
    return found


def faults(machines, of_machine):
    """What does not fit the machines of `crafts`, in words; `of_machine` says it of one: a craft, its tools by name, its lines."""
    import crafts
    known = {craft.name: craft for craft in crafts.crafts()}
    for name, lines in machines.items():
        if name in known:
            yield from of_machine(known[name], {arch.name: arch for arch in known[name].tools}, lines)
        else:
            yield f"@{name}: there is no such machine"


def check(description, faults_in):
    """The command line of a check: prints what is wrong in files, and exits with 1 where something is."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", nargs="+", required=True, metavar="FILE")
    wrong = [fault for path in parser.parse_args().check for fault in faults_in(banks.Path(path))]
    print("\n".join(wrong) or "no faults")
    sys.exit(bool(wrong))
