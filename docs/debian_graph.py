#!/usr/bin/env python3
"""Writes a Debian system's package dependencies as a Matrix Market graph: an edge from each package to what it depends on."""

import re
import subprocess
import sys

text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
number, edges = {}, []


def node(name):
    return number.setdefault(name, len(number) + 1)


for paragraph in text.split("\n\n"):
    fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
    if "Package" not in fields:
        continue
    source = node(fields["Package"])
    for kind in ("Pre-Depends", "Depends", "Recommends", "Suggests"):
        for name in re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", fields.get(kind, "")):
            edges.append((source, node(name)))

edges = sorted(set(edges))
if not edges:
    sys.exit("no package has dependencies here: run `apt-get update` first")
print("%%MatrixMarket matrix coordinate pattern general")
print(len(number), len(number), len(edges))
for a, b in edges:
    print(a, b)
