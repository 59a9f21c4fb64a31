"""Files of lines about machines of `crafts`: `@machine` opens one, and its lines follow; `#` begins a comment."""

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


def check(paths, faults):
    """Prints what is wrong with some files, and exits: 1 where something is."""
    wrong = [fault for path in paths for fault in faults(banks.Path(path))]
    print("\n".join(wrong) or "no faults")
    sys.exit(bool(wrong))
