"""Reads mmsegmentation checkpoints of the CPT author: heads, backbones, whole models.  [author]

load_head(state_dict, memory_share)         the decoder alone
load_segmenter(state_dict, memory_share)    backbone and decoder
import_checkpoint(path, out, …)             a file of theirs → a file of ours
"""

from __future__ import annotations

from engine.mmseg.heads import load_head
from engine.mmseg.whole import Imported, import_checkpoint, load_segmenter

__all__ = ["Imported", "import_checkpoint", "load_head", "load_segmenter"]
