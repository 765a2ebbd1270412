"""What proposes actions: the playbook, OpenAI-compatible endpoints, llama.cpp in process."""
