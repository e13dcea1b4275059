"""The pages of the documentation site that are generated, for docs/hook.py."""
