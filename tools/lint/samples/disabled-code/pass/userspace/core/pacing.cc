#if FL_ABI_VERSION > 0
int Pace() { return 1; }
#endif
