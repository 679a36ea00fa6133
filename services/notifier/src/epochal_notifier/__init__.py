"""Who is told of what: Slack, mail, webhooks."""
