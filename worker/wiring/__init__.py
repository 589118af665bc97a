"""The only place where the parts meet: settings become policies, and the verbs get what they work with."""
