"""The session loop, action grammar, prompt building, budgets and workspace checkpoints."""
