"""Governance of the consortium: invitations, applications, the register of members and their standing."""
