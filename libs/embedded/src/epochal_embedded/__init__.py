"""The whole platform on one machine: PostgreSQL, NATS and the services, supervised."""
