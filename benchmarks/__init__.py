"""Speed against named peers: each module has `main(argv)`, prints a table, and writes JSON to benchmarks/results."""
