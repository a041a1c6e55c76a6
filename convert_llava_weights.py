"""Convert a LLaVA-NeXT checkpoint to Hugging Face format: another name for ``ndino convert``.

python convert_llava_weights.py checkpoints/it models/it --verify
"""

import sys

from ndino.cli import main

if __name__ == "__main__":
    sys.exit(main(command="convert"))
