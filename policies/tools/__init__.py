"""What authors of policies work with, as functions: the commands in `policies.cli` print what these return. Pure, but for reading texts."""
