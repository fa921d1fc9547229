"""The agent, to which the other modules add functions."""

from countersign import Agent

app = Agent(node_id="testbed-python", version="1.0.0")
