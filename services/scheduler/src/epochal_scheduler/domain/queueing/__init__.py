"""Who goes next, and why not yet: limits, fair shares, and the board that decides."""
