"""Who may do what: pure decisions about organisations, projects, members and tokens."""
