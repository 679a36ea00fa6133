"""Gates: what a policy demands before a version has a place, and whether it is so."""
