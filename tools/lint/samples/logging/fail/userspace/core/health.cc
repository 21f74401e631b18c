void Fail() { base::LogError("down"); }  // <- finding
