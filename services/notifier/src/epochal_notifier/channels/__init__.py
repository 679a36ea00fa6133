"""The channels: Slack, mail, webhook. Each turns a `Message` into one attempt."""
