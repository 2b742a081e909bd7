"""What the bytes and texts of the files say; nothing here knows of recordings, extractors or NWB."""
