"""Programs forked from one interpreter that has imported what they share.

Five services and an agent import the same kernel: on two cores that is most of the time from `up`
to ready, and most of the memory. One template process imports it once, before it has any thread,
and each program begins as a fork of it. `template` is that process, `launching` the side of the
supervisor.
"""
