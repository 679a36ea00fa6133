"""The `epochal` command: one module a noun; `main` joins them."""
