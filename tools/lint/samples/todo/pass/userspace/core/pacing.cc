// TODO(#123): spread the closes over the tier.
const char* kTodo = "TODO: a text of the user's";
