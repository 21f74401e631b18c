// A folder that the layer table does not know. <- finding
