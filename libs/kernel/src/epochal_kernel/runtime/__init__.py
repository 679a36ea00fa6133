"""The runtime of a service: settings, logs, health, start, drain.

`settings` reads the environment, `logs` sets up JSON lines, `health` answers probes, `service`
puts the parts of the kernel together for a `main.py`.
"""
