"""The monitor: a process of the tracker that watches runs live, over Faust.

It hears a summary of every batch of telemetry, keeps windows and what rules remember in tables, and
raises and resolves alerts as events. All it keeps can be made again from the log and telemetry.
"""
