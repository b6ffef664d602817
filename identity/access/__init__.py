"""Who may use a management API: roles and scopes, keys, tokens of an identity provider, and the audit log. Shared by connector and identity service."""
