"""Hostile input for everything that parses what others send: `python -m fuzz [target...] [--cases N] [--seed S]`.

`target` says what a target is; `engine` mutates, keeps what led somewhere new, and makes findings small; `guide` sees
new lines of code; `site` is an application in the real middleware, `visits` and `bodies` are requests to it; `wire` is
memcached's side of a connection; `stored` are the bytes that lie there; `texts` are ids, node lists and settings.
`test_fuzz` replays the corpus and some thousand fresh cases.

Why an engine of our own: Atheris, the coverage-guided engine for Python, is libFuzzer in a C++ extension. Its wheels
are for Linux on x86-64 alone, elsewhere Clang has to build it, and it never returns: it ends the process, so a test
cannot run it for a few thousand cases. Hypothesis runs everywhere, but makes about a thousand cases a second where
these parsers take some ten thousand; it serves in the property tests beside this. So: mutations of bytes and of the
words of each grammar, guided by what a case led to (each target says) and, from Python 3.12, by new lines of code:
`sys.monitoring` counts those at next to no cost. Python 3.11 could only trace, which is slower than the parsers by far.
"""
