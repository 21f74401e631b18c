// No guard at all. <- finding
