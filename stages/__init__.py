"""The pipeline's stages: read params, call ``cmad``, write outputs. Run as ``python -m stages.<name>``."""
