"""The doors: gRPC, REST with SSE, artifacts. All go through `dispatch`, which knows no protocol."""
