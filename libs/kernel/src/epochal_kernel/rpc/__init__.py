"""RPC over NATS: proto services as plain async methods, found through nats.micro.

One subject per method, one queue group per service, so instances share the load without anyone
keeping a list of them. `wire` is the protocol on one page, `server` and `client` the two ends,
`context` what a handler knows of its caller.
"""
