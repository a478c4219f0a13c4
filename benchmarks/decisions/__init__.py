"""Decision rules on the same traffic: ours, and those of the tools that people use today."""
