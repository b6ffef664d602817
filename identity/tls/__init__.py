"""Certificates: names in them, TLS contexts, the consortium's CA, enrolment, and the demonstration's public CA."""
