"""Other programs for the same work, measured in the same run on the same machine.

Each has an environment of its own outside the workspace (`environments`), in which a small driver
(`*_driver`) starts it, gives it the work and prints figures; `comparing` sets them beside ours.
"""
