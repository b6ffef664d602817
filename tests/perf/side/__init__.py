"""The two sides of a comparison: two connectors of ours, and two runtimes of a peer's, each in processes of their own, driven through their management APIs."""
