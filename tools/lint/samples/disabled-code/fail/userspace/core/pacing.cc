#if 0  // <- finding
int Pace() { return 1; }
#endif
