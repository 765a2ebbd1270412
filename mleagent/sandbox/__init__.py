"""Locked-down places to run model-written code: docker, podman, bubblewrap, namespaces."""
