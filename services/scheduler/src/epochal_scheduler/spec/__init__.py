"""The polyaxonfile v1.1: read, checked, bound to parameters, compiled to one operation."""
