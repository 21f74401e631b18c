std::thread worker;                           // <- finding
absl::Mutex lock;                             // <- finding
void Locked() {
  std::lock_guard<Lock> guard(lock);          // <- finding
  pthread_mutex_lock(&raw);                   // <- finding
}
