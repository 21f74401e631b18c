// TODO: spread the closes over the tier. <- finding
// TODO(alice): and the opens. <- finding
/* FIXME this is wrong. <- finding */
// XXX <- finding
