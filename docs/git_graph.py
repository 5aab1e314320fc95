#!/usr/bin/env python3
"""Turns `git rev-list --parents --all` on standard input into a Matrix Market graph: an edge from each commit to its parents."""

import sys

number, edges = {}, []
for line in sys.stdin:
    commits = [number.setdefault(c, len(number) + 1) for c in line.split()]
    edges += [(commits[0], parent) for parent in commits[1:]]

if not edges:
    sys.exit("no commit has a parent: pipe `git rev-list --parents --all` in here")
print("%%MatrixMarket matrix coordinate pattern general")
print(len(number), len(number), len(edges))
for a, b in edges:
    print(a, b)
