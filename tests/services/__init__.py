"""Real servers for tests: `./run services up|down`, and the same for one test session."""
