std::unique_ptr<Backend> backend = std::make_unique<Backend>();
