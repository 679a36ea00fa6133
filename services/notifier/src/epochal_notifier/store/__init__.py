"""The notifier's SQL: subscriptions, deliveries, intents."""
