"""Use of data under agreements: what decides it (`decide`), duties shown and waived (`obligations`), what our own store received (`holdings`)."""
