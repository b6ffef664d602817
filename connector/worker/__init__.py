"""What the connector does by itself: delivering messages, pushing data, forgetting what has expired. Woken by commits and due times."""
