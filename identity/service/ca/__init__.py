"""HTTP around the consortium's certificate authority (`identity.tls.ca`)."""
