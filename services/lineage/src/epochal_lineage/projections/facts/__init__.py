"""What an event asserts about the graph: nodes, edges, columns, and the end of these.

Each module has the rules for one kind of event: pure functions from an event to facts. `telling`
knows them all; events of another kind join by a module of their own and a line there. Facts name
nodes by their resource names, so a fact may come before the event that makes its nodes known.
"""
