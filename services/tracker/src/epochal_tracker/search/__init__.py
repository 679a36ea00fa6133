"""Finding runs: `filters` reads conditions, `compiler` turns them into parameterised SQL."""
