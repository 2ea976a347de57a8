"""Training files out of generated rows: row formats, recipes, mixing, and the benchmark in the style of MMLU.

Everything here blocks and is meant for a worker thread. Rows stream; what a leaf node's RAFT rows need of all
its rows (each document's text, once) is held, and nothing else is.
"""
