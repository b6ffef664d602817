"""The data plane: addresses and tokens, the data endpoint, pulling, pushing, and the inbox. It moves bytes; contracts are the processes' business."""
