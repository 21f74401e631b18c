void Start() { base::LogInfo("started"); }
