// One std::thread, said in a comment, is no thread.
void Loop::Run() { while (Step()) continue; }
