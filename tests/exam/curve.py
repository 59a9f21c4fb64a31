#!/usr/bin/env python3
"""Draws how the examination's scores went with steps of training and machines learnt from: scores.jsonl ──> an SVG.

    curve.py [OUT]      default: docs/exam.svg
"""

import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
COUNTS = {"seen": 194, "unseen": 325, "refuse": 190, "numbers": 181, "speech": 185}
COLOURS = {"unseen": "#c0392b", "seen": "#2471a3", "refuse": "#7d3c98", "numbers": "#b9770e", "speech": "#1e8449"}
# What `unseen` is to come to.
AIM = 95
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 780, 420, 56, 150, 24, 64
LOW, HIGH = 50, 100


def interval(percent, n):
    """Wilson's interval at 95 %, in percent."""
    p, z = percent / 100, 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (middle - half), 100 * (middle + half)


def drawing(scores):
    most = max(score["steps"] for score in scores)

    def x(steps):
        return LEFT + (WIDTH - LEFT - RIGHT) * steps / most

    def y(percent):
        return TOP + (HEIGHT - TOP - BOTTOM) * (HIGH - percent) / (HIGH - LOW)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for percent in range(LOW, HIGH + 1, 10):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(percent):.1f}" y2="{y(percent):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>')
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(AIM):.1f}" y2="{y(AIM):.1f}" stroke="{COLOURS["unseen"]}" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y(AIM) + 4:.1f}" fill="{COLOURS["unseen"]}">aim of unseen</text>')
    for score in scores:
        at = x(score["steps"])
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{score["steps"]}</text>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 33}" text-anchor="middle" fill="#777777">{score["machines"]}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 24}" y="{HEIGHT - BOTTOM + 18}">steps of training</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 24}" y="{HEIGHT - BOTTOM + 33}" fill="#777777">machines learnt</text>')
    labels = sorted((y(scores[-1]["exact"][name]), name) for name in COLOURS)
    for i in range(1, len(labels)):
        labels[i] = max(labels[i][0], labels[i - 1][0] + 14), labels[i][1]
    for at, name in labels:
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at + 4:.1f}" fill="{COLOURS[name]}">{name} {scores[-1]["exact"][name]:.1f} %</text>')
    for name, colour in COLOURS.items():
        points = [(x(score["steps"]), score["exact"][name]) for score in scores]
        line = " ".join(f"{at:.1f},{y(percent):.1f}" for at, percent in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{3 if name == "unseen" else 1.5}"/>')
        for at, percent in points:
            if name == "unseen":
                low, high = interval(percent, COUNTS[name])
                parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{at:.1f}" cy="{y(percent):.1f}" r="3" fill="{colour}"/>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}" fill="#777777">exact answers of each set; bars: 95 % interval of unseen (n 325)</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    lines = (HERE / "scores.jsonl").read_text("utf-8").splitlines()
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "docs" / "exam.svg"
    out.write_text(drawing([json.loads(line) for line in lines if line.strip()]), "utf-8")


if __name__ == "__main__":
    main()
