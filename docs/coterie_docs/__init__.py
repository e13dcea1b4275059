"""What the documentation site is made of beside hand-written pages; used by docs/hook.py."""
