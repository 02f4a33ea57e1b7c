"""The dialogue with the client: where ids are found in a request and how they are sent. Knows nothing of the store."""
