"""The pipeline's stages: read params, call ``cmad``, write outputs. Run as ``python -m stages.<name>``."""

import os

# Before numpy is there, which reads it once. Its products and decompositions end in other bits on other
# numbers of threads; what takes long is torch's, whose threads the params state.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
