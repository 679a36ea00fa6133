"""Who is calling, and whether they may: tokens, the directory in memory, the decision."""
