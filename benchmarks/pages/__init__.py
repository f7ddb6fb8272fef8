"""The pages of ``docs/benchmarks``, one module a page; :mod:`benchmarks.page` writes them.

A page's module has ``PATH``, relative to the repository, and ``parts(read)``, the parts of its text; where it answers a
question of ``docs/benchmarks.md``, also ``QUESTION`` and ``answer(read)``. ``read`` takes the name of a result and
gives what it holds, an empty dictionary where it has not been measured.
"""
