"""Finding models: `clauses` reads the filters of MLflow, `compiler` makes SQL of them."""
