"""The agent: takes work from queues, runs it as local processes, and reports."""
