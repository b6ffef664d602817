"""The Dataspace Protocol 2025-1 over HTTPS: messages, routes, what comes in, what goes out. It knows neither store nor policies."""
