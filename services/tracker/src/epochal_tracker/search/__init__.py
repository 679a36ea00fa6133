"""Finding runs: two grammars read into one syntax tree, which becomes parameterised SQL.

`epochal` and `mlflow` read text; `syntax` is what both read it into; `fields` says what may be
asked; `compiler`, `sources` and `ordering` make SQL of it, `planning` chooses where to begin.
"""
