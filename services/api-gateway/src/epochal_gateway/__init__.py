"""The doors of Epochal: gRPC, REST, SSE, artifacts; and who may do what."""
