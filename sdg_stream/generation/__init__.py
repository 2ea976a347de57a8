"""The whole job: a taxonomy becomes training data, all leaf nodes at once on one teacher."""
