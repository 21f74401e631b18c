std::shared_ptr<Backend> backend;               // <- finding
auto other = std::make_shared<Backend>();       // <- finding
std::weak_ptr<Backend> third;                   // <- finding
