"""Every documented field of the polyaxonfile v1.1 as pydantic models; nothing unknown gets in."""
